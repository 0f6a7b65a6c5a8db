"""Disruption controller: keeps the status of PodDisruptionBudgets true, so that evictions can be decided by it.

Follows kube-controller-manager's disruption controller. `minAvailable` counts among the pods that the budget covers
when it is a number; percentages and `maxUnavailable` are of what the pods' controllers want. The eviction subresource
takes from `disruptionsAllowed` and notes the pod in `disruptedPods`; this controller forgets a note when the pod is
being deleted, is gone, or was not deleted after all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Announcement, Decision
from controlplane.controllers.podstate import is_finished, is_ready
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.int_or_percent import scaled_up
from orch.api.kind import Kind
from orch.api.kinds import DEPLOYMENTS, PODDISRUPTIONBUDGETS, PODS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS
from orch.api.meta import Condition, Object, OwnerReference
from orch.api.pod.spec import Pod
from orch.api.poddisruptionbudget import PodDisruptionBudget, PodDisruptionBudgetStatus, covers
from orch.client.informer import Informers, Key
from orch.kit.clock import whole_seconds

DELETION_TIMEOUT = timedelta(minutes=2)
"""How long an eviction may take to become a deletion before it is taken for one that never happened."""
DISRUPTION_ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, SYNC_FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


class Uncountable(Exception):
    """The controller of a pod does not say how many there ought to be."""


ExpectedOf = Callable[[Pod], tuple[str, int]]
"""The uid of what keeps a pod, and how many it wants; no uid when nothing keeps it. Raises Uncountable."""


def reconcile(budget: PodDisruptionBudget, covered: Sequence[Pod], expected_of: ExpectedOf, now: datetime) -> Decision:
    """`covered`: pods under the budget that have not finished. Pods that nothing keeps count as healthy only."""
    try:
        expected, desired = _expectation(budget, covered, expected_of)
    except Uncountable as error:
        return _failed(budget, str(error), now)
    noted, next_timeout_s = _still_noted(budget.status.disrupted_pods or {}, covered, now)
    healthy = sum(1 for pod in covered if _counts(pod, noted))
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status = PodDisruptionBudgetStatus(
        conditions=conditions_for(budget, allowed, now),
        current_healthy=healthy,
        desired_healthy=desired,
        disrupted_pods=dict(noted) or None,
        disruptions_allowed=allowed,
        expected_pods=expected,
        observed_generation=budget.metadata.generation,
    )
    changed = None if status == budget.status else replace(budget, status=status)
    return Decision(status=changed, requeue_after_s=next_timeout_s)


def _expectation(budget: PodDisruptionBudget, covered: Sequence[Pod], expected_of: ExpectedOf) -> tuple[int, int]:
    """(expected pods, those that must be healthy)."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        expected = _wanted(covered, expected_of)
        return expected, max(expected - scaled_up(spec.max_unavailable, expected), 0)
    if isinstance(spec.min_available, str):
        expected = _wanted(covered, expected_of)
        return expected, scaled_up(spec.min_available, expected)
    return len(covered), spec.min_available or 0


def _wanted(covered: Sequence[Pod], expected_of: ExpectedOf) -> int:
    return sum(dict(map(expected_of, covered)).values())


def _still_noted(
    noted: Mapping[str, datetime], covered: Sequence[Pod], now: datetime
) -> tuple[Mapping[str, datetime], float | None]:
    """Evictions that are neither carried out nor given up, and when the next of them is given up."""
    alive = {pod.metadata.name for pod in covered if pod.metadata.deletion_timestamp is None}
    waiting = {name: since for name, since in noted.items() if name in alive and now < since + DELETION_TIMEOUT}
    if not waiting:
        return waiting, None
    return waiting, max((min(waiting.values()) + DELETION_TIMEOUT - now).total_seconds(), 0)


def _counts(pod: Pod, noted: Mapping[str, datetime]) -> bool:
    return pod.metadata.deletion_timestamp is None and pod.metadata.name not in noted and is_ready(pod)


def conditions_for(budget: PodDisruptionBudget, allowed: int, now: datetime) -> tuple[Condition, ...]:
    """With DisruptionAllowed as the number says (component-helpers `UpdateDisruptionAllowedCondition`)."""
    reason, status = (SUFFICIENT, "True") if allowed > 0 else (INSUFFICIENT, "False")
    return _with_condition(budget, status, reason, "", now)


def _failed(budget: PodDisruptionBudget, why: str, now: datetime) -> Decision:
    """Nothing may be disrupted while nobody can tell how many pods there ought to be."""
    conditions = _with_condition(budget, "False", SYNC_FAILED, why, now)
    status = replace(
        budget.status,
        conditions=conditions,
        disruptions_allowed=0,
        observed_generation=budget.metadata.generation,
    )
    if status == budget.status:
        return NOTHING
    event = Announcement(budget, "Warning", "CalculateExpectedPodCountFailed", why)
    return Decision(status=replace(budget, status=status), events=(event,))


def _with_condition(
    budget: PodDisruptionBudget, status: str, reason: str, message: str, now: datetime
) -> tuple[Condition, ...]:
    present = budget.status.conditions or ()
    before = next((condition for condition in present if condition.type == DISRUPTION_ALLOWED), None)
    since = before.last_transition_time if before and before.status == status else whole_seconds(now)
    condition = Condition(
        type=DISRUPTION_ALLOWED,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=budget.metadata.generation,
    )
    return (*(each for each in present if each.type != DISRUPTION_ALLOWED), condition)


class Owners:
    """How many pods the controllers in the cluster want."""

    def __init__(self, informers: Informers) -> None:
        self._informers = informers

    def expected_of(self, pod: Pod) -> tuple[str, int]:
        owner = _controller(pod)
        if owner is None:
            return "", 0
        kind = _SCALABLE.get(owner.kind)
        found = self._informers.of(kind).get(pod.metadata.namespace, owner.name) if kind else None
        if found is None or found.metadata.uid != owner.uid:
            raise Uncountable(f"found no scale of {owner.kind} {owner.name!r}, which keeps pod {pod.metadata.name!r}")
        above = _controller(found)
        deployment = (
            self._informers.of(DEPLOYMENTS).get(pod.metadata.namespace, above.name)
            if above is not None and above.kind == DEPLOYMENTS.kind
            else None
        )
        top = deployment if deployment is not None and above and deployment.metadata.uid == above.uid else found
        return top.metadata.uid, top.spec.replicas or 0


def _controller(obj: Object) -> OwnerReference | None:
    return next((ref for ref in obj.metadata.owner_references or () if ref.controller), None)


_SCALABLE: Mapping[str, Kind[Any]] = {kind.kind: kind for kind in (REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS)}


def disruption_controller(informers: Informers) -> Controller:
    budgets, pods = informers.of(PODDISRUPTIONBUDGETS), informers.of(PODS)
    owners = Owners(informers)

    def decide(key: Key, now: datetime) -> Decision:
        budget = budgets.get(*key)
        if budget is None:
            return NOTHING
        covered = [
            pod for pod in pods.by_namespace(key[0]) if covers(budget, pod.metadata.labels) and not is_finished(pod)
        ]
        return reconcile(budget, covered, owners.expected_of, now)

    def keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        for pod in (old, new):
            if pod is not None:
                for budget in budgets.by_namespace(pod.metadata.namespace):
                    if covers(budget, pod.metadata.labels):
                        yield budget.metadata.namespace, budget.metadata.name

    def keys_of_owner(old: Object | None, new: Object | None) -> Iterable[Key]:
        """A number changed: every budget of the namespace may count by it."""
        obj = new or old
        if obj is not None and _replicas(old) != _replicas(new):
            for budget in budgets.by_namespace(obj.metadata.namespace):
                yield budget.metadata.namespace, budget.metadata.name

    scalable = (*_SCALABLE.values(), DEPLOYMENTS)
    watches: tuple[Watch[Any], ...] = (
        Watch(budgets, own_key),
        Watch(pods, keys_of_pod),
        *(Watch(informers.of(kind), keys_of_owner) for kind in scalable),
    )
    return Controller("disruption", PODDISRUPTIONBUDGETS, watches, decide)


def _replicas(obj: Object | None) -> int | None:
    return None if obj is None else obj.spec.replicas  # type: ignore[attr-defined]
