"""Counts and conditions that `kubectl rollout status` reads."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.deployment.revisions import Fleet
from controlplane.controllers.deployment.status import deadline_in_s, is_complete, new_status
from orch.api.deployment import Deployment, DeploymentCondition, DeploymentStatus
from orch.api.replicaset import ReplicaSet, ReplicaSetCondition
from tests.builders import NOW, ago, deployment, replica_set

NEW = replica_set("web-new", replicas=3, ready=3)
OLD = replica_set("web-old", replicas=0)


def condition(status: DeploymentStatus, type_: str) -> DeploymentCondition:
    (found,) = [each for each in status.conditions or () if each.type == type_]
    return found


def progressing(reason: str, status: str = "True", since: datetime = NOW) -> tuple[DeploymentCondition, ...]:
    return (DeploymentCondition(type="Progressing", status=status, reason=reason, last_update_time=since,
                                last_transition_time=since),)  # fmt: skip


def web(conditions: tuple[DeploymentCondition, ...] = (), **spec: Any) -> Deployment:
    owner = deployment(replicas=3, spec=spec)
    counts = DeploymentStatus(
        replicas=4, updated_replicas=1, ready_replicas=3, available_replicas=3, observed_generation=1,
        conditions=conditions or None,
    )  # fmt: skip
    return replace(owner, status=counts)


HALFWAY = Fleet(replica_set("web-new", replicas=1), (replica_set("web-old", replicas=3, ready=3),))


def test_counts_of_a_rollout_in_progress() -> None:
    status = new_status(web(), HALFWAY, NOW)
    assert (status.replicas, status.updated_replicas, status.ready_replicas) == (4, 1, 3)
    assert (status.available_replicas, status.unavailable_replicas, status.observed_generation) == (3, 1, 1)
    assert condition(status, "Available").status == "True"
    assert condition(status, "Progressing").reason == "ReplicaSetUpdated"


def test_a_complete_rollout_says_so_once() -> None:
    owner = web(progressing("ReplicaSetUpdated", since=ago(60)))
    status = new_status(owner, Fleet(NEW, (OLD,)), NOW)
    found = condition(status, "Progressing")
    assert (found.status, found.reason) == ("True", "NewReplicaSetAvailable")
    assert found.message == 'ReplicaSet "web-new" has successfully progressed.'
    assert (found.last_update_time, found.last_transition_time) == (NOW, ago(60))
    assert is_complete(owner, status)
    again = new_status(replace(owner, status=status), Fleet(NEW, (OLD,)), NOW + timedelta(hours=1))
    assert again == status
    assert deadline_in_s(owner, status, NOW) is None


def test_too_few_available_pods_are_no_availability() -> None:
    few = Fleet(replica_set("web-new", replicas=3, ready=1), ())
    found = condition(new_status(web(), few, NOW), "Available")
    assert (found.status, found.reason) == ("False", "MinimumReplicasUnavailable")


@pytest.mark.parametrize(
    ("age_s", "reason"),
    [pytest.param(599, "ReplicaSetUpdated", id="in time"), pytest.param(601, "ProgressDeadlineExceeded", id="late")],
)
def test_a_rollout_without_progress_times_out(age_s: int, reason: str) -> None:
    owner = web(progressing("ReplicaSetUpdated", since=ago(age_s)))
    found = condition(new_status(owner, HALFWAY, NOW), "Progressing")
    assert found.reason == reason
    assert found.status == ("False" if age_s > 600 else "True")


def test_the_deadline_is_waited_for_exactly() -> None:
    owner = web(progressing("ReplicaSetUpdated", since=ago(590)))
    assert deadline_in_s(owner, new_status(owner, HALFWAY, NOW), NOW) == 11


def test_progress_moves_the_deadline() -> None:
    owner = web(progressing("ReplicaSetUpdated", since=ago(500)))
    further = Fleet(replica_set("web-new", replicas=2, ready=2), HALFWAY.old)
    assert condition(new_status(owner, further, NOW), "Progressing").last_update_time == NOW


def test_a_pause_stops_the_clock_and_the_end_of_it_starts_it_anew() -> None:
    owner = web(progressing("ReplicaSetUpdated", since=ago(500)), paused=True)
    status = new_status(owner, HALFWAY, NOW)
    assert condition(status, "Progressing").reason == "DeploymentPaused"
    assert deadline_in_s(owner, status, NOW) is None
    resumed = replace(owner, spec=replace(owner.spec, paused=None), status=status)
    later = new_status(resumed, HALFWAY, NOW + timedelta(seconds=1000))
    assert condition(later, "Progressing").reason == "DeploymentResumed"
    assert condition(later, "Progressing").last_update_time == NOW + timedelta(seconds=1000)


def test_the_sets_failure_is_the_deployments_until_it_is_gone() -> None:
    failing = failed(replica_set("web-new", replicas=1))
    status = new_status(web(), Fleet(failing, HALFWAY.old), NOW)
    found = condition(status, "ReplicaFailure")
    assert (found.status, found.reason, found.message) == ("True", "FailedCreate", "quota")
    healed = new_status(replace(web(), status=status), HALFWAY, NOW)
    assert "ReplicaFailure" not in {each.type for each in healed.conditions or ()}


def failed(replica_set_: ReplicaSet) -> ReplicaSet:
    failure = ReplicaSetCondition(type="ReplicaFailure", status="True", reason="FailedCreate", message="quota")
    return replace(replica_set_, status=replace(replica_set_.status, conditions=(failure,)))
