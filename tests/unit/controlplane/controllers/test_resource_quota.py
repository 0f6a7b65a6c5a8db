from decimal import Decimal

from msgspec.structs import replace

from controlplane.controllers.resource_quota import RECOUNT_S, reconcile
from orch.api.meta import ObjectMeta
from orch.api.resourcequota import ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus

QUOTA = ResourceQuota(
    metadata=ObjectMeta(name="q", namespace="default"),
    spec=ResourceQuotaSpec(hard={"pods": "4", "requests.cpu": "2", "requests.memory": "1Gi"}),
)
SHOWN = {"pods": "2", "requests.cpu": "1500m", "requests.memory": "512Mi"}
USED = {"pods": Decimal(2), "requests.cpu": Decimal("1.5"), "requests.memory": Decimal(512 * 1024 * 1024)}


def test_the_status_shows_what_the_quota_names() -> None:
    decision = reconcile(QUOTA, USED | {"services": Decimal(3)})
    assert isinstance(decision.status, ResourceQuota)
    assert (decision.status.status.hard, decision.status.status.used) == (QUOTA.spec.hard, SHOWN)
    assert (decision.actions, decision.requeue_after_s) == ((), RECOUNT_S)


def test_nothing_is_written_when_nothing_changed() -> None:
    shown = replace(QUOTA, status=ResourceQuotaStatus(hard=QUOTA.spec.hard, used=SHOWN))
    assert reconcile(shown, USED).status is None


def test_what_nobody_uses_is_shown_as_zero() -> None:
    status = reconcile(QUOTA, {}).status
    assert isinstance(status, ResourceQuota)
    assert status.status.used == dict.fromkeys(SHOWN, "0")
