"""Which pods a ReplicaSet makes, deletes, adopts and counts."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import Create, Delete, Patch
from controlplane.controllers.replicaset import DELETION_COST, deletion_order, new_pod, reconcile, refused
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStatus
from orch.api.replicaset import ReplicaSetStatus
from orch.errors import Forbidden
from tests.builders import NOW, ago, deleting, pod, replica_set, running_pod

WEB = {"app": "web"}
OWNER = replica_set(replicas=3)


def web(name: str, **fields: Any) -> Pod:
    return running_pod(name, labels=WEB, owner=OWNER, **fields)


def deleted(pods: list[Pod], replicas: int) -> list[str]:
    decision = reconcile(replica_set(replicas=replicas), pods, NOW)
    assert all(isinstance(action, Delete) for action in decision.actions)
    return [action.name for action in decision.actions if isinstance(action, Delete)]


def test_missing_pods_are_created() -> None:
    decision = reconcile(OWNER, [web("a")], NOW)
    assert [type(action) for action in decision.actions] == [Create, Create]


def test_a_created_pod_is_the_templates_and_the_sets() -> None:
    made = new_pod(OWNER)
    assert made.metadata.generate_name == "web-1-"
    assert made.metadata.labels == WEB
    assert made.spec == OWNER.spec.template.spec
    (ref,) = made.metadata.owner_references or ()
    assert (ref.kind, ref.name, ref.uid, ref.controller) == ("ReplicaSet", "web-1", "web-1-uid", True)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(pod("x", phase="Failed", labels=WEB, owner=OWNER), id="failed"),
        pytest.param(deleting(web("going")), id="being deleted"),
        pytest.param(running_pod("other", labels={"app": "db"}), id="other labels"),
        pytest.param(running_pod("foreign", labels=WEB, owner=replica_set("other")), id="other controller"),
    ],
)  # fmt: skip
def test_pods_that_do_not_count_are_replaced(extra: Pod) -> None:
    decision = reconcile(OWNER, [web("a"), web("b"), extra], NOW)
    assert [type(action) for action in decision.actions] == [Create]


def test_a_set_that_is_right_does_nothing_but_count() -> None:
    pods = [web("a"), web("b"), web("c", ready=False)]
    decision = reconcile(OWNER, pods, NOW)
    assert decision.actions == ()
    assert decision.status is not None
    expected = ReplicaSetStatus(
        replicas=3, fully_labeled_replicas=3, ready_replicas=2, available_replicas=2, observed_generation=1
    )
    assert decision.status.status == expected  # type: ignore[attr-defined]
    assert reconcile(replace(OWNER, status=expected), pods, NOW).status is None


def test_an_orphan_is_adopted_before_anything_is_created() -> None:
    decision = reconcile(OWNER, [web("a"), running_pod("orphan", labels=WEB)], NOW)
    (adoption,) = decision.actions
    assert isinstance(adoption, Patch)
    assert adoption.name == "orphan"
    assert adoption.alive is not None
    assert adoption.alive.uid == "web-1-uid"


def test_a_pod_that_the_selector_lost_is_released() -> None:
    decision = reconcile(OWNER, [web("a"), running_pod("gone", labels={"app": "x"}, owner=OWNER)], NOW)
    (release,) = decision.actions
    assert isinstance(release, Patch)
    assert release.patch["metadata"]["ownerReferences"] == [{"$patch": "delete", "uid": "web-1-uid"}]


def test_a_set_being_deleted_makes_and_deletes_nothing() -> None:
    assert reconcile(deleting(OWNER), [web("a")], NOW).actions == ()


ON_ANOTHER_NODE = {"node": "node-2"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod("x", labels=WEB, owner=OWNER), web("y"), id="without a node"),
        pytest.param(pod("x", labels=WEB, owner=OWNER, node="node-2"), web("y"), id="pending"),
        pytest.param(web("x", ready=False, **ON_ANOTHER_NODE), web("y"), id="not ready"),
        pytest.param(web("x", annotations={DELETION_COST: "-5"}, **ON_ANOTHER_NODE), web("y"), id="cheap"),
        pytest.param(web("x", ready_since=ago(5), **ON_ANOTHER_NODE), web("y", ready_since=ago(900)), id="ready later"),
        pytest.param(web("x", creation_timestamp=ago(5), **ON_ANOTHER_NODE), web("y"), id="younger"),
        pytest.param(web("x", **ON_ANOTHER_NODE), web("y"), id="by name"),
    ],
)  # fmt: skip
def test_the_less_useful_pod_goes_first(first: Pod, second: Pod) -> None:
    assert [each.metadata.name for each in deletion_order([second, first], NOW)] == ["x", "y"]
    assert deleted([second, first], replicas=1) == ["x"]


def test_crowded_nodes_and_restarts_decide_between_alike_pods() -> None:
    crowd = [web("b", node="node-1"), web("c", node="node-1"), web("a", node="node-2")]
    assert deletion_order(crowd, NOW)[-1].metadata.name == "a"
    calm, restless = web("a", node="node-1"), web("b", node="node-2")
    statuses = (ContainerStatus(name="app", restart_count=4),)
    restless = replace(restless, status=replace(restless.status, container_statuses=statuses))
    assert deletion_order([calm, restless], NOW)[0].metadata.name == "b"


def test_min_ready_seconds_delays_availability_and_asks_to_look_again() -> None:
    slow = replica_set(replicas=2, min_ready_seconds=30)
    pods = [web("a", ready_since=ago(40)), web("b", ready_since=ago(10))]
    decision = reconcile(slow, pods, NOW)
    assert decision.status is not None
    assert decision.status.status.available_replicas == 1  # type: ignore[attr-defined]
    assert decision.requeue_after_s == pytest.approx(20)
    later = reconcile(slow, pods, NOW + timedelta(seconds=20))
    assert later.status is not None
    assert later.status.status.available_replicas == 2  # type: ignore[attr-defined]
    assert later.requeue_after_s is None


def test_a_refused_creation_becomes_a_condition_that_goes_when_all_is_well() -> None:
    told = refused(OWNER, [web("a")], Forbidden("quota exceeded"), NOW)
    assert told is not None
    (condition,) = told.status.conditions or ()
    assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
    assert refused(told, [web("a")], Forbidden("quota exceeded"), NOW + timedelta(seconds=9)) is None
    healed = reconcile(told, [web("a"), web("b"), web("c")], NOW).status
    assert healed is not None
    assert healed.status.conditions is None  # type: ignore[attr-defined]
