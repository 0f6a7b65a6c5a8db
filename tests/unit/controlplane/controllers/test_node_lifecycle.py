"""Taints from conditions, evictions from taints, marks on pods of lost nodes, mass losses."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import Decision, Delete, Patch, Update
from controlplane.controllers.node_lifecycle import (
    LOST_REASON,
    MASS_LOSS_RECHECK_S,
    MASS_RECOVERY_GRACE_S,
    NOT_READY,
    RESTORE_DELAY_S,
    UNREACHABLE,
    UNSCHEDULABLE,
    Disruption,
    desired_taints,
    evict_at,
    is_mass_loss,
    reconcile,
)
from orch.api.node import Node, NodeCondition
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition
from orch.api.shared import Taint, Toleration
from tests.builders import NOW, ago, deleting, node, pod, running_pod

LONG_AGO = ago(10_000)


def tolerating(seconds: int | None, key: str = UNREACHABLE, name: str = "pod", **fields: Any) -> Pod:
    toleration = Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)
    return running_pod(name, tolerations=(toleration,), **fields)


def lost_node(since_s: float = 5, **fields: Any) -> Node:
    """Tainted as this controller does it, when it was lost."""
    bare = node(ready="Unknown", ready_since=ago(since_s), **fields)
    return replace(bare, spec=replace(bare.spec, taints=desired_taints(bare, ago(since_s))))


def decide(subject: Node, *pods: Pod, deadlines_from: datetime | None = LONG_AGO, now: datetime = NOW) -> Decision:
    return reconcile(subject, pods, deadlines_from, now)


def evicted(decision: Decision) -> list[str]:
    return [action.name for action in decision.actions if isinstance(action, Delete)]


@pytest.mark.parametrize(
    ("ready", "key"),
    [pytest.param("False", NOT_READY, id="not ready"), pytest.param("Unknown", UNREACHABLE, id="unreachable")],
)
def test_a_node_that_is_not_ready_is_tainted_twice(ready: str, key: str) -> None:
    (update,) = [action for action in decide(node(ready=ready)).actions if isinstance(action, Update)]
    assert isinstance(update.obj, Node)
    assert update.obj.spec.taints == (
        Taint(key=key, effect="NoSchedule"), Taint(key=key, effect="NoExecute", time_added=NOW),
    )  # fmt: skip


def silent_node(age_s: float) -> Node:
    """Somebody created it, and no agent has spoken for it."""
    bare = node()
    metadata = replace(bare.metadata, creation_timestamp=ago(age_s))
    return replace(bare, metadata=metadata, status=replace(bare.status, conditions=None))


def test_a_node_that_never_reports_is_unknown_after_a_while() -> None:
    early = decide(silent_node(20))
    assert not [action for action in early.actions if isinstance(action, Patch)]
    assert early.requeue_after_s == 40
    (patch,) = decide(silent_node(60)).actions
    assert isinstance(patch, Patch)
    assert patch.subresource == "status"
    conditions = patch.patch["status"]["conditions"]
    assert [each["type"] for each in conditions] == ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
    assert {(each["status"], each["reason"]) for each in conditions} == {("Unknown", "NodeStatusNeverUpdated")}


def test_the_taints_go_when_the_node_is_ready_and_others_stay() -> None:
    own = Taint(key="gpu", value="yes", effect="NoSchedule")
    back = node(taints=(own, Taint(key=UNREACHABLE, effect="NoExecute", time_added=ago(9))))
    assert desired_taints(back, NOW) == (own,)
    assert decide(node(taints=(own,))).actions == ()


def test_one_kind_of_failure_replaces_the_other() -> None:
    before = node(ready="False", taints=(Taint(key=UNREACHABLE, effect="NoExecute", time_added=ago(9)),))
    assert {taint.key for taint in desired_taints(before, NOW)} == {NOT_READY}


def test_a_cordon_and_pressure_are_taints() -> None:
    pressed = node(unschedulable=True)
    conditions = (*(pressed.status.conditions or ()), NodeCondition(type="DiskPressure", status="True"))
    pressed = replace(pressed, status=replace(pressed.status, conditions=conditions))
    keys = [(taint.key, taint.effect) for taint in desired_taints(pressed, NOW)]
    assert keys == [("node.kubernetes.io/disk-pressure", "NoSchedule"), (UNSCHEDULABLE, "NoSchedule")]


def test_a_taint_of_a_user_gets_its_time_rounded_up() -> None:
    tainted = node(taints=(Taint(key="maintenance", effect="NoExecute"),))
    (stamped,) = desired_taints(tainted, NOW + timedelta(seconds=0.3))
    assert stamped.time_added == NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("tolerations", "after_s"),
    [
        pytest.param((), 0, id="none"),
        pytest.param((Toleration(operator="Exists"),), None, id="everything for ever"),
        pytest.param((Toleration(key="a", operator="Exists", toleration_seconds=30),), 30, id="a while"),
        pytest.param((Toleration(key="a", operator="Exists", toleration_seconds=-5),), 0, id="negative is none"),
        pytest.param((Toleration(key="a", operator="Equal", value="other"),), 0, id="other value"),
        pytest.param((Toleration(key="a", operator="Exists", effect="NoSchedule"),), 0, id="other effect"),
        pytest.param(
            (Toleration(key="a", operator="Exists", toleration_seconds=30), Toleration(key="a", operator="Exists")),
            30, id="the shorter counts",
        ),
    ],
)  # fmt: skip
def test_tolerations(tolerations: tuple[Toleration, ...], after_s: int | None) -> None:
    taint = Taint(key="a", value="v", effect="NoExecute", time_added=NOW)
    expected = None if after_s is None else NOW + timedelta(seconds=after_s)
    assert evict_at(pod(tolerations=tolerations), [taint], LONG_AGO) == expected


def test_the_first_of_several_taints_decides() -> None:
    taints = [Taint(key="a", effect="NoExecute", time_added=NOW), Taint(key="b", effect="NoExecute", time_added=NOW)]
    only_a = (Toleration(key="a", operator="Exists", toleration_seconds=60),)
    assert evict_at(pod(tolerations=only_a), taints, LONG_AGO) == NOW


def test_pods_go_when_their_time_is_up_and_the_next_is_waited_for_exactly() -> None:
    decision = decide(
        lost_node(since_s=5),
        tolerating(2, name="due"),
        tolerating(5, name="now"),
        tolerating(9, name="later"),
        tolerating(None, name="never"),
        deleting(tolerating(2, name="going")),
        pod("done", phase="Succeeded"),
        running_pod("intolerant"),
    )  # fmt: skip
    assert evicted(decision) == ["due", "now", "intolerant"]
    assert decision.requeue_after_s == 4
    assert [event.reason for event in decision.events] == ["TaintManagerEviction"] * 3


def test_no_deadline_begins_before_the_controller() -> None:
    decision = decide(lost_node(since_s=3600), tolerating(2), deadlines_from=NOW)
    assert evicted(decision) == []
    assert decision.requeue_after_s == 2


def test_a_mass_loss_evicts_nothing_and_looks_again() -> None:
    decision = decide(lost_node(since_s=3600), tolerating(2), deadlines_from=None)
    assert evicted(decision) == []
    assert decision.requeue_after_s == MASS_LOSS_RECHECK_S


def test_ready_pods_of_a_lost_node_are_marked() -> None:
    decision = decide(lost_node(), tolerating(600, name="up"), tolerating(600, name="down", ready=False))
    marks = [action for action in decision.actions if isinstance(action, Patch)]
    assert [(mark.name, mark.subresource) for mark in marks] == [("up", "status")]
    (condition,) = marks[0].patch["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "False", LOST_REASON)


def marked(containers_ready: str) -> Pod:
    subject = running_pod("pod")
    conditions = (
        PodCondition(type="Ready", status="False", reason=LOST_REASON, last_transition_time=ago(9)),
        PodCondition(type="ContainersReady", status=containers_ready),
    )
    return replace(subject, status=replace(subject.status, conditions=conditions))


@pytest.mark.parametrize(("containers", "expected"), [("True", "True"), ("False", "False")])
def test_a_mark_that_came_too_late_is_undone(containers: str, expected: str) -> None:
    fresh = decide(node(ready_since=ago(0.5)), marked(containers))
    assert fresh.actions == ()
    assert fresh.requeue_after_s == RESTORE_DELAY_S - 0.5
    (undo,) = decide(node(ready_since=ago(RESTORE_DELAY_S)), marked(containers)).actions
    assert isinstance(undo, Patch)
    assert undo.patch["status"]["conditions"][0]["status"] == expected


@pytest.mark.parametrize(
    ("lost_s_ago", "nodes", "expected"),
    [
        pytest.param([], 3, False, id="none"),
        pytest.param([1], 3, False, id="one of three"),
        pytest.param([1, 2], 3, True, id="two of three at once"),
        pytest.param([1, 500], 3, False, id="one after the other"),
        pytest.param([1], 2, False, id="half is not most"),
        pytest.param([1], 1, True, id="the only one"),
        pytest.param([1, 10, 20, 900], 5, True, id="three of five in a window"),
    ],
)
def test_mass_loss(lost_s_ago: list[float], nodes: int, expected: bool) -> None:
    assert is_mass_loss([ago(seconds) for seconds in lost_s_ago], nodes) is expected


def test_deadlines_start_anew_after_a_mass_loss() -> None:
    disruption = Disruption(LONG_AGO)
    assert disruption.observe([ago(1)], 3, NOW) == LONG_AGO
    assert disruption.observe([ago(1), ago(2)], 3, NOW) is None
    recovered = NOW + timedelta(seconds=60)
    grace = timedelta(seconds=MASS_RECOVERY_GRACE_S)
    assert disruption.observe([ago(2)], 3, recovered) == recovered + grace
    assert disruption.observe([ago(2)], 3, recovered + timedelta(hours=1)) == recovered + grace
