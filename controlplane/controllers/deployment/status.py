"""Counts and conditions of a Deployment: Available, Progressing, ReplicaFailure. Pure.

`kubectl rollout status` and `kubectl wait` read these; reasons and messages are those of Kubernetes
(deployment/progress.go, sync.go).
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from controlplane.controllers.deployment.revisions import Fleet
from controlplane.controllers.deployment.scaling import available, max_unavailable, size, wanted
from orch.api.deployment import Deployment, DeploymentCondition, DeploymentStatus
from orch.kit.clock import whole_seconds

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_SET_AVAILABLE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
NO_DEADLINE_S = 2**31 - 1
"""The value of progressDeadlineSeconds that means: none."""

Conditions = tuple[DeploymentCondition, ...]


def new_status(deployment: Deployment, fleet: Fleet, now: datetime) -> DeploymentStatus:
    """Everything but the collision count, which stays."""
    counted = _counts(deployment, fleet)
    conditions = deployment.status.conditions or ()
    conditions = _with(conditions, _availability(deployment, counted), now)
    conditions = _with_failure(conditions, fleet, now)
    for condition in _progress(deployment, counted, fleet, now):
        conditions = _with(conditions, condition, now)
    return replace(counted, conditions=conditions)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Every desired pod is of the current template and available, and no other is left."""
    desired = wanted(deployment)
    return (
        (status.updated_replicas or 0) == desired
        and (status.replicas or 0) == desired
        and (status.available_replicas or 0) == desired
        and (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
    )


def deadline_in_s(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """Seconds until the rollout has to be looked at again because it may have timed out; None: never."""
    progressing = _find(status.conditions or (), PROGRESSING)
    limit = _deadline_s(deployment)
    if limit is None or progressing is None or progressing.reason in (NEW_SET_AVAILABLE, TIMED_OUT):
        return None
    if deployment.spec.paused or is_complete(deployment, status):
        return None
    since = progressing.last_update_time or now
    # One second more, since the times in conditions are whole seconds.
    return max(0.0, (since + timedelta(seconds=limit + 1) - now).total_seconds())


def _counts(deployment: Deployment, fleet: Fleet) -> DeploymentStatus:
    present = sum(each.status.replicas for each in fleet.all)
    ready = sum(each.status.ready_replicas or 0 for each in fleet.all)
    usable = sum(map(available, fleet.all))
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=present or None,
        updated_replicas=(fleet.new.status.replicas if fleet.new else 0) or None,
        ready_replicas=ready or None,
        available_replicas=usable or None,
        unavailable_replicas=max(0, sum(map(size, fleet.all)) - usable) or None,
        collision_count=deployment.status.collision_count,
    )


def _availability(deployment: Deployment, status: DeploymentStatus) -> DeploymentCondition:
    if (status.available_replicas or 0) >= wanted(deployment) - max_unavailable(deployment):
        return _condition(
            AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
        )  # fmt: skip
    message = "Deployment does not have minimum availability."
    return _condition(AVAILABLE, "False", "MinimumReplicasUnavailable", message)


def _progress(
    deployment: Deployment, status: DeploymentStatus, fleet: Fleet, now: datetime
) -> tuple[DeploymentCondition, ...]:
    """The Progressing condition, when it has to be said anew."""
    current = _find(deployment.status.conditions or (), PROGRESSING)
    if deployment.spec.paused or _was_paused(current):
        return _pause_change(deployment, current)
    if _deadline_s(deployment) is None:
        return ()
    finished = current is not None and current.reason == NEW_SET_AVAILABLE
    if finished and status.replicas == status.updated_replicas:
        return ()
    subject = f'ReplicaSet "{fleet.new.metadata.name}"' if fleet.new else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, status):
        return (_condition(PROGRESSING, "True", NEW_SET_AVAILABLE, f"{subject} has successfully progressed."),)
    if current is None or finished or _has_progressed(deployment.status, status):
        return (replace(_condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{subject} is progressing."),
                        last_update_time=whole_seconds(now)),)  # fmt: skip
    if _has_timed_out(deployment, current, now):
        return (_condition(PROGRESSING, "False", TIMED_OUT, f"{subject} has timed out progressing."),)
    return ()


def _pause_change(deployment: Deployment, current: DeploymentCondition | None) -> tuple[DeploymentCondition, ...]:
    """A pause is no progress and no delay; a rollout that had timed out stays so."""
    if current is not None and current.reason == TIMED_OUT:
        return ()
    if deployment.spec.paused:
        return (_condition(PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused"),)
    return (_condition(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed"),)


def _was_paused(current: DeploymentCondition | None) -> bool:
    return current is not None and current.reason == "DeploymentPaused"


def _has_progressed(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    def old_pods(status: DeploymentStatus) -> int:
        return (status.replicas or 0) - (status.updated_replicas or 0)

    return (
        (after.updated_replicas or 0) > (before.updated_replicas or 0)
        or old_pods(after) < old_pods(before)
        or (after.ready_replicas or 0) > (before.ready_replicas or 0)
        or (after.available_replicas or 0) > (before.available_replicas or 0)
    )


def _has_timed_out(deployment: Deployment, current: DeploymentCondition, now: datetime) -> bool:
    if current.reason in (NEW_SET_AVAILABLE, TIMED_OUT):
        return current.reason == TIMED_OUT
    limit = timedelta(seconds=_deadline_s(deployment) or 0)
    return (current.last_update_time or now) + limit < now


def _deadline_s(deployment: Deployment) -> int | None:
    limit = deployment.spec.progress_deadline_seconds
    return None if limit is None or limit == NO_DEADLINE_S else limit


def _with_failure(conditions: Conditions, fleet: Fleet, now: datetime) -> Conditions:
    """The newest set that cannot make or remove its pods speaks for the Deployment."""
    failures = [
        condition
        for each in (*(() if fleet.new is None else (fleet.new,)), *reversed(fleet.old))
        for condition in each.status.conditions or ()
        if condition.type == REPLICA_FAILURE and condition.status == "True"
    ]
    if not failures:
        return tuple(condition for condition in conditions if condition.type != REPLICA_FAILURE)
    failure = failures[0]
    return _with(conditions, _condition(REPLICA_FAILURE, "True", failure.reason or "", failure.message or ""), now)


def _with(conditions: Conditions, new: DeploymentCondition, now: datetime) -> Conditions:
    """Conditions with `new` in place of the one of its type; an equal one stays, with its times."""
    current = _find(conditions, new.type)
    moment = whole_seconds(now)
    if current is not None and (current.status, current.reason) == (new.status, new.reason):
        if new.last_update_time is None:
            return conditions
        new = replace(new, last_transition_time=current.last_transition_time)
    elif current is not None and current.status == new.status:
        new = replace(new, last_transition_time=current.last_transition_time, last_update_time=moment)
    else:
        new = replace(new, last_transition_time=moment, last_update_time=moment)
    return (*(condition for condition in conditions if condition.type != new.type), new)


def _condition(type_: str, status: str, reason: str, message: str) -> DeploymentCondition:
    return DeploymentCondition(type=type_, status=status, reason=reason, message=message)


def _find(conditions: Conditions, type_: str) -> DeploymentCondition | None:
    return next((condition for condition in conditions if condition.type == type_), None)
