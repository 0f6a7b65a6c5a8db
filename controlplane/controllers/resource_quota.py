"""Shows what the namespace of every ResourceQuota uses, in its status. Refuses nothing: `registry.quota` does that."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Decision
from controlplane.controllers.runner import Controller, KeysOf, Watch, own_key
from controlplane.registry.quota_tally import QuotaTally
from orch.api import quantity, quota_usage
from orch.api.base import Quantity
from orch.api.kind import Kind, KindTable
from orch.api.kinds import RESOURCEQUOTAS
from orch.api.meta import Object
from orch.api.pod.effective import summed
from orch.api.quota_usage import Amounts
from orch.api.resourcequota import ResourceQuota, ResourceQuotaStatus
from orch.client.informer import Informers, Key

RECOUNT_S = 300.0
"""Usage also changes with time: a pod whose end is overdue stops counting."""


def reconcile(quota: ResourceQuota, used: Amounts) -> Decision:
    """`used` may hold more resources than the quota names."""
    hard = quota.spec.hard or {}
    shown: dict[str, Quantity] = {name: quantity.shown(name, used.get(name, Decimal(0))) for name in hard}
    status = ResourceQuotaStatus(hard=hard or None, used=shown or None)
    changed = replace(quota, status=status) if status != quota.status else None
    return Decision(status=changed, requeue_after_s=RECOUNT_S)


def resource_quota_controller(informers: Informers, kinds: KindTable) -> Controller:
    quotas, tally = informers.of(RESOURCEQUOTAS), QuotaTally()

    def decide(key: Key, now: datetime) -> Decision:
        quota = quotas.get(*key)
        if quota is None:
            tally.forget(*key)
            return NOTHING
        used = (
            tally.used(quota, kind, informers.of(kind).by_namespace(key[0]), now)
            for kind in _counted_kinds(informers, kinds, quota)
        )
        return reconcile(quota, summed(used))

    contents = (usage_watch(informers, kind) for kind in kinds.stored() if kind.namespaced)
    return Controller("resource-quota", RESOURCEQUOTAS, (Watch(quotas, own_key), *contents), decide)


def usage_watch(informers: Informers, kind: Kind[Any]) -> Watch[Any]:
    """Changes of a namespaced kind that change what it uses of a quota."""
    return Watch(informers.of(kind), _quotas_concerned(informers, kind))


def _counted_kinds(informers: Informers, kinds: KindTable, quota: ResourceQuota) -> list[Kind[Any]]:
    return [
        kind
        for kind in kinds.stored()
        if kind.namespaced
        and informers.has(kind)
        and any(quota_usage.counts(kind, name) for name in quota.spec.hard or {})
    ]


def _quotas_concerned(informers: Informers, kind: Kind[Any]) -> KeysOf[Any]:
    quotas = informers.of(RESOURCEQUOTAS)

    def keys_of(old: Object | None, new: Object | None) -> Iterable[Key]:
        obj = new or old
        if obj is None:
            return
        for quota in quotas.by_namespace(obj.metadata.namespace):
            if any(quota_usage.counts(kind, name) for name in quota.spec.hard or {}):
                yield quota.metadata.namespace, quota.metadata.name

    return keys_of
