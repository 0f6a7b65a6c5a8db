"""Node lifecycle: from a node's conditions to taints, and from NoExecute taints to evictions.

The nodeplane says whether a node is alive; this controller draws the consequences. No polling: each decision says when
the next toleration runs out. When most nodes are lost at once nothing is evicted, since the fault then lies between
the nodes and the control plane.

Invariant: no pod is evicted before its tolerationSeconds have passed since the taint was added, or since this
controller started, whichever is later.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Action, Announcement, Decision, Delete, Patch, Update
from controlplane.controllers.podstate import index_by_node, is_finished, is_ready, pods_on_node, ready_condition
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.kinds import NODES, PODS
from orch.api.node import Node, NodeCondition
from orch.api.pod.spec import Pod
from orch.api.shared import Taint
from orch.api.tolerations import tolerates
from orch.client.informer import Informers, Key
from orch.kit.clock import whole_seconds

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
PRESSURE_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OWN_KEYS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURE_TAINTS.values()})

MASS_LOSS_WINDOW_S = 30.0
MASS_LOSS_RECHECK_S = 10.0
"""Nothing tells a node that other nodes have come back."""
MASS_RECOVERY_GRACE_S = 30.0
"""How long nodes have to come back after the first of them, once most were lost."""
RESTORE_DELAY_S = 2.0
"""After a node is back its agent has this long to report its pods."""
FIRST_REPORT_WAIT_S = 60.0
"""How long a new Node may say nothing of its state (nodeStartupGracePeriod of kube-controller-manager)."""
UNREPORTED_TYPES = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
UNREPORTED_REASON, UNREPORTED_MESSAGE = "NodeStatusNeverUpdated", "Kubelet never posted node status."
LOST_REASON = "NodeLost"
LOST_INDEX = "lost"


def reconcile(node: Node, pods: Sequence[Pod], deadlines_from: datetime | None, now: datetime) -> Decision:
    """`pods`: all that are bound to the node. `deadlines_from`: none begins before it; None: nothing is evicted."""
    unreported_in_s = _unreported_in_s(node, now)
    if unreported_in_s == 0:
        return Decision((_never_reported(node, now),))  # The taints follow from it.
    decision = _on_conditions(node, pods, deadlines_from, now)
    waits = (decision.requeue_after_s, unreported_in_s)
    return dataclasses.replace(
        decision, requeue_after_s=min((wait for wait in waits if wait is not None), default=None)
    )


def _on_conditions(node: Node, pods: Sequence[Pod], deadlines_from: datetime | None, now: datetime) -> Decision:
    taints = desired_taints(node, now)
    actions: list[Action] = []
    if taints != (node.spec.taints or ()):
        actions.append(Update(NODES, replace(node, spec=replace(node.spec, taints=taints or None))))
    if readiness(node) == "Unknown":
        actions += [_mark_not_ready(pod, now) for pod in pods if is_ready(pod) and not is_finished(pod)]
    executing = [taint for taint in taints if taint.effect == "NoExecute"]
    if not executing:
        marked = [pod for pod in pods if _is_marked(pod)]
        wait_s = _restore_in_s(node, now) if marked else None
        actions += [_unmark(pod, now) for pod in marked if wait_s == 0]
        return Decision(tuple(actions), requeue_after_s=wait_s or None)
    if deadlines_from is None:
        return Decision(tuple(actions), requeue_after_s=MASS_LOSS_RECHECK_S)
    due, next_s = _evictions(pods, executing, deadlines_from, now)
    actions += [Delete(PODS, pod.metadata.namespace, pod.metadata.name, pod.metadata.uid) for pod in due]
    return Decision(tuple(actions), requeue_after_s=next_s, events=tuple(_announce(pod) for pod in due))


def _unreported_in_s(node: Node, now: datetime) -> float | None:
    """In how many seconds it counts as unknown whether the node is there; None: it has said something."""
    if _ready_condition(node) is not None:
        return None
    since = node.metadata.creation_timestamp or now
    return max(0.0, FIRST_REPORT_WAIT_S - (now - since).total_seconds())


def _never_reported(node: Node, now: datetime) -> Patch:
    time, created = _shown(now), node.metadata.creation_timestamp
    conditions = [
        {
            "type": type_,
            "status": "Unknown",
            "reason": UNREPORTED_REASON,
            "message": UNREPORTED_MESSAGE,
            "lastTransitionTime": time,
            "lastHeartbeatTime": _shown(created) if created else None,
        }
        for type_ in UNREPORTED_TYPES
        if all(condition.type != type_ for condition in node.status.conditions or ())
    ]
    patch = {"metadata": {"uid": node.metadata.uid}, "status": {"conditions": conditions}}
    return Patch(NODES, "", node.metadata.name, patch, subresource="status")


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def desired_taints(node: Node, now: datetime) -> tuple[Taint, ...]:
    """What others set stays; a NoExecute taint without a time gets one, since deadlines count from it."""
    wanted = _own_taints(node)
    taints = [taint for taint in node.spec.taints or () if taint.key not in OWN_KEYS or _named(taint) in wanted]
    present = {_named(taint) for taint in taints}
    taints += [Taint(key=key, effect=effect) for key, effect in wanted if (key, effect) not in present]
    return tuple(_timed(taint, now) for taint in taints)


def readiness(node: Node) -> str:
    """True, False or Unknown; a node that never said is not ready."""
    condition = _ready_condition(node)
    return condition.status if condition else "False"


def evict_at(pod: Pod, taints: Sequence[Taint], deadlines_from: datetime) -> datetime | None:
    """When the first NoExecute taint is tolerated no more; None: never (tainteviction, getMinTolerationTime)."""
    deadlines = [_deadline(pod, taint, deadlines_from) for taint in taints]
    return min((deadline for deadline in deadlines if deadline is not None), default=None)


class Disruption:
    """Whether most nodes are lost at once; the fault then lies between them and the control plane.

    Remembers the end of it: nodes come back one by one, and the last of them must not pay for being the last. That is
    the one state that a decision of this controller changes beside the caches: a Ready condition tells how long a node
    has been as it is, not that others were lost with it. A restart forgets it and counts from its own start, so that
    no pod goes sooner.
    """

    def __init__(self, started_at: datetime) -> None:
        self._deadlines_from, self._on = started_at, False

    def observe(self, lost_at: Sequence[datetime], nodes: int, now: datetime) -> datetime | None:
        """`lost_at`: when each lost node was lost. From when on deadlines count; None: nothing is evicted now."""
        if is_mass_loss(lost_at, nodes):
            self._on = True
            return None
        if self._on:
            self._on = False
            self._deadlines_from = now + timedelta(seconds=MASS_RECOVERY_GRACE_S)
        return self._deadlines_from


def is_mass_loss(lost_at: Sequence[datetime], nodes: int) -> bool:
    """Whether more than half of all nodes were lost within one window of time."""
    needed = nodes // 2 + 1
    moments, window = sorted(lost_at), timedelta(seconds=MASS_LOSS_WINDOW_S)
    return any(last - first <= window for first, last in zip(moments, moments[needed - 1 :], strict=False))


def _own_taints(node: Node) -> list[tuple[str, str]]:
    ready = readiness(node)
    wanted = []
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        wanted += [(key, "NoSchedule"), (key, "NoExecute")]
    for condition in node.status.conditions or ():
        if condition.status == "True" and condition.type in PRESSURE_TAINTS:
            wanted.append((PRESSURE_TAINTS[condition.type], "NoSchedule"))
    if node.spec.unschedulable:
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    return wanted


def _timed(taint: Taint, now: datetime) -> Taint:
    """Times have whole seconds; rounded up, so that no toleration is cut short."""
    if taint.effect != "NoExecute" or taint.time_added is not None:
        return taint
    rounded = whole_seconds(now)
    return replace(taint, time_added=rounded if rounded == now else rounded + timedelta(seconds=1))


def _evictions(
    pods: Sequence[Pod], taints: Sequence[Taint], deadlines_from: datetime, now: datetime
) -> tuple[list[Pod], float | None]:
    """The pods to evict now, and in how many seconds the next one is due."""
    due, waits = [], []
    for pod in pods:
        if is_finished(pod) or pod.metadata.deletion_timestamp is not None:
            continue
        moment = evict_at(pod, taints, deadlines_from)
        if moment is not None and moment <= now:
            due.append(pod)
        elif moment is not None:
            waits.append((moment - now).total_seconds())
    return due, min(waits, default=None)


def _deadline(pod: Pod, taint: Taint, deadlines_from: datetime) -> datetime | None:
    """The shortest of the matching tolerations counts; none: at once."""
    since = max(taint.time_added or deadlines_from, deadlines_from)
    matching = [toleration for toleration in pod.spec.tolerations or () if tolerates(toleration, taint)]
    if not matching:
        return since
    bounds = [each.toleration_seconds for each in matching if each.toleration_seconds is not None]
    return since + timedelta(seconds=max(0, min(bounds))) if bounds else None


def _mark_not_ready(pod: Pod, now: datetime) -> Patch:
    """So that no Service sends anybody there; the agent says otherwise when it returns."""
    return _set_ready(pod, "False", LOST_REASON, f"Node {pod.spec.node_name} does not answer", now)


def _set_ready(pod: Pod, status: str, reason: str | None, message: str | None, now: datetime) -> Patch:
    condition = {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _shown(now),
    }
    patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
    return Patch(PODS, pod.metadata.namespace, pod.metadata.name, patch, subresource="status")


def _is_marked(pod: Pod) -> bool:
    condition = ready_condition(pod)
    return condition is not None and condition.reason == LOST_REASON and not is_finished(pod)


def _restore_in_s(node: Node, now: datetime) -> float:
    """In how many seconds a mark may be undone on a node that is back."""
    condition = _ready_condition(node)
    since = condition.last_transition_time if condition else None
    return max(0.0, ((since or now) + timedelta(seconds=RESTORE_DELAY_S) - now).total_seconds())


def _unmark(pod: Pod, now: datetime) -> Patch:
    """The mark came after the agent's report of an unchanged pod. What the agent says of the containers holds."""
    conditions = {condition.type: condition.status for condition in pod.status.conditions or ()}
    gates = [gate.condition_type for gate in pod.spec.readiness_gates or ()]
    ready = all(conditions.get(type_) == "True" for type_ in ("ContainersReady", *gates))
    return _set_ready(pod, "True" if ready else "False", None if ready else "ContainersNotReady", None, now)


def _announce(pod: Pod) -> Announcement:
    message = f"Marking for deletion Pod {pod.metadata.namespace}/{pod.metadata.name}"
    return Announcement(pod, "Normal", "TaintManagerEviction", message)


def _named(taint: Taint) -> tuple[str, str]:
    return taint.key, taint.effect


def _ready_condition(node: Node) -> NodeCondition | None:
    return next((condition for condition in node.status.conditions or () if condition.type == "Ready"), None)


def _lost_at(node: Node) -> datetime:
    condition = _ready_condition(node)
    moment = condition.last_transition_time if condition else node.metadata.creation_timestamp
    assert moment is not None
    return moment


def _is_lost(node: Node) -> bool:
    return readiness(node) == "Unknown"


def _may_evict(node: Node) -> bool:
    return _is_lost(node) or any(taint.effect == "NoExecute" for taint in node.spec.taints or ())


def node_lifecycle_controller(informers: Informers, started_at: datetime) -> Controller:
    nodes, pods = informers.of(NODES), informers.of(PODS)
    index_by_node(pods)
    disruption = Disruption(started_at)
    lost = nodes.add_index(LOST_INDEX, lambda node: (LOST_INDEX,) if _is_lost(node) else ())

    def decide(key: Key, now: datetime) -> Decision:
        node = nodes.get(*key)
        if node is None:
            return NOTHING
        lost_at = [_lost_at(each) for each in lost.get(LOST_INDEX)]
        deadlines_from = disruption.observe(lost_at, len(nodes), now)
        return reconcile(node, pods_on_node(pods, node.metadata.name), deadlines_from, now)

    def keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        """A pod concerns its node only while the node is not well, or the pod is marked."""
        node = nodes.get("", new.spec.node_name) if new and new.spec.node_name else None
        concerned = node is not None and new is not None and (_may_evict(node) or _is_marked(new))
        return own_key(None, node) if concerned else ()

    return Controller("node-lifecycle", NODES, (Watch(nodes, own_key), Watch(pods, keys_of_pod)), decide)
