"""ReplicaSet: keeps so many pods of a template running. Knows nothing of Deployments.

Invariant: pods beyond `replicas` go in Kubernetes' order (the least useful first), missing ones are created, and pods
that are finished or being deleted do not count.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import log2
from typing import Any

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Create, Decision, Delete
from controlplane.controllers.ownership import candidates, claim, controller_ref, index_by_controller, reference_to
from controlplane.controllers.podstate import available_at, is_active, is_available, is_ready, ready_condition
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.kinds import PODS, REPLICASETS
from orch.api.meta import ObjectMeta
from orch.api.pod.spec import Pod
from orch.api.replicaset import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from orch.api.selectors import from_label_selector
from orch.client.informer import Informers, Key
from orch.errors import ApiError
from orch.kit.clock import whole_seconds

BURST_MAX = 500
"""Pods created or deleted in one decision."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def reconcile(replica_set: ReplicaSet, pods: Iterable[Pod], now: datetime) -> Decision:
    """`pods`: what it controls, and what nobody controls in its namespace."""
    selector = from_label_selector(replica_set.spec.selector)
    claimed = claim(replica_set, REPLICASETS, PODS, selector, (pod for pod in pods if is_active(pod)))
    active, wanted = claimed.owned, _wanted(replica_set)
    actions: tuple[Any, ...] = claimed.actions
    # An adopted pod counts from the next decision on: acting on both now would create what is being adopted.
    if not actions and replica_set.metadata.deletion_timestamp is None:
        if len(active) < wanted:
            actions = (Create(PODS, new_pod(replica_set), replica_set),) * min(wanted - len(active), BURST_MAX)
        else:
            surplus = deletion_order(active, now)[: min(len(active) - wanted, BURST_MAX)]
            actions = tuple(_delete(pod, replica_set) for pod in surplus)
    status = _status(replica_set, active, now, replica_set.status.conditions)
    if not actions:
        status = replace(status, conditions=_without_failure(status.conditions))
    changed = replace(replica_set, status=status) if status != replica_set.status else None
    return Decision(actions, changed, _next_available_s(active, replica_set, now))


def refused(replica_set: ReplicaSet, pods: Iterable[Pod], error: ApiError, now: datetime) -> ReplicaSet | None:
    """The status that says that pods could not be created or deleted (condition ReplicaFailure)."""
    selector = from_label_selector(replica_set.spec.selector)
    active = claim(replica_set, REPLICASETS, PODS, selector, (pod for pod in pods if is_active(pod))).owned
    reason = "FailedCreate" if len(active) < _wanted(replica_set) else "FailedDelete"
    before = next((c for c in replica_set.status.conditions or () if c.type == "ReplicaFailure"), None)
    since = before.last_transition_time if before else whole_seconds(now)
    failure = ReplicaSetCondition(
        type="ReplicaFailure", status="True", reason=reason, message=str(error), last_transition_time=since
    )
    others = _without_failure(replica_set.status.conditions) or ()
    status = _status(replica_set, active, now, (*others, failure))
    return replace(replica_set, status=status) if status != replica_set.status else None


def new_pod(replica_set: ReplicaSet) -> Pod:
    """A pod of the template; the API completes its name."""
    template = replica_set.spec.template
    return Pod(
        metadata=ObjectMeta(
            namespace=replica_set.metadata.namespace,
            generate_name=f"{replica_set.metadata.name}-",
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            owner_references=(reference_to(replica_set),),
        ),
        spec=template.spec,
    )


def deletion_order(pods: Sequence[Pod], now: datetime) -> list[Pod]:
    """The least useful first (controller_utils.go, ActivePodsWithRanks): without a node, not running, not ready,
    cheap by annotation, on a node with many of the same, ready for a shorter time, restarted more often, younger."""
    per_node = Counter(pod.spec.node_name or "" for pod in pods)

    def usefulness(pod: Pod) -> tuple[Any, ...]:
        return (
            bool(pod.spec.node_name),
            {"Pending": 0, "Unknown": 1}.get(pod.status.phase or "", 2),
            is_ready(pod),
            _deletion_cost(pod),
            -per_node[pod.spec.node_name or ""],
            _age_rank(_ready_since(pod), now),
            -_restarts(pod),
            _age_rank(pod.metadata.creation_timestamp, now),
            pod.metadata.name,
        )

    return sorted(pods, key=usefulness)


def _age_rank(since: datetime | None, now: datetime) -> int:
    """Ages that differ by less than a factor of two are alike, so that no age group goes as a whole."""
    return int(log2(max(1.0, (now - (since or now)).total_seconds())))


def _ready_since(pod: Pod) -> datetime | None:
    condition = ready_condition(pod)
    return condition.last_transition_time if condition and condition.status == "True" else None


def _restarts(pod: Pod) -> int:
    return max((status.restart_count for status in pod.status.container_statuses or ()), default=0)


def _deletion_cost(pod: Pod) -> int:
    text = (pod.metadata.annotations or {}).get(DELETION_COST, "0")
    return int(text) if text.removeprefix("-").isdecimal() else 0


def _wanted(replica_set: ReplicaSet) -> int:
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def _delete(pod: Pod, replica_set: ReplicaSet) -> Delete:
    return Delete(PODS, pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, announce=replica_set)


def _status(
    replica_set: ReplicaSet, active: Sequence[Pod], now: datetime, conditions: tuple[ReplicaSetCondition, ...] | None
) -> ReplicaSetStatus:
    min_ready = replica_set.spec.min_ready_seconds or 0
    labels = (replica_set.spec.template.metadata.labels or {}).items()
    return ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(labels <= (pod.metadata.labels or {}).items() for pod in active) or None,
        ready_replicas=sum(is_ready(pod) for pod in active) or None,
        available_replicas=sum(is_available(pod, min_ready, now) for pod in active) or None,
        observed_generation=replica_set.metadata.generation,
        conditions=conditions,
    )


def _without_failure(conditions: tuple[ReplicaSetCondition, ...] | None) -> tuple[ReplicaSetCondition, ...] | None:
    return tuple(condition for condition in conditions or () if condition.type != "ReplicaFailure") or None


def _next_available_s(active: Sequence[Pod], replica_set: ReplicaSet, now: datetime) -> float | None:
    """Seconds until the next ready pod counts as available; no event will tell."""
    min_ready = replica_set.spec.min_ready_seconds or 0
    if not min_ready:
        return None
    moments = (available_at(pod, min_ready) for pod in active)
    waits = [(moment - now) / timedelta(seconds=1) for moment in moments if moment is not None and moment > now]
    return min(waits, default=None)


def replicaset_controller(informers: Informers) -> Controller:
    sets, pods = informers.of(REPLICASETS), informers.of(PODS)
    index_by_controller(pods)

    def decide(key: Key, now: datetime) -> Decision:
        replica_set = sets.get(*key)
        return reconcile(replica_set, candidates(pods, replica_set), now) if replica_set else NOTHING

    def tell(key: Key, error: ApiError, now: datetime) -> ReplicaSet | None:
        replica_set = sets.get(*key)
        return refused(replica_set, candidates(pods, replica_set), error, now) if replica_set else None

    def keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        for pod in (old, new):
            yield from keys_of(pod) if pod else ()

    def keys_of(pod: Pod) -> Iterable[Key]:
        ref = controller_ref(pod)
        if ref is not None:
            owner = sets.by_uid(ref.uid)
            return own_key(None, owner) if owner else ()
        return [
            (each.metadata.namespace, each.metadata.name)
            for each in sets.by_namespace(pod.metadata.namespace)
            if from_label_selector(each.spec.selector).matches(pod.metadata.labels)
        ]

    watches = (Watch(sets, own_key), Watch(pods, keys_of_pod))
    return Controller("replicaset", REPLICASETS, watches, decide, tell)
