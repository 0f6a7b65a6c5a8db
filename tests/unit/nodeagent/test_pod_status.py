"""The status of a pod as Kubernetes writes it."""

import pytest
from msgspec.structs import replace

from nodeagent.pod_events import Adopted, ContainerExited, SandboxReady
from nodeagent.pod_instructions import CreateContainer, ReportStatus, RunSandbox
from orch.api.pod.spec import PodReadinessGate
from orch.api.pod.status import PodCondition, PodStatus
from tests.unit.nodeagent.machine import HOST_IP, NOW, a_container, a_node, a_pod, started


def test_a_pod_that_waits_says_for_what() -> None:
    node = a_node(a_pod(), hold=lambda i: isinstance(i, RunSandbox))
    node.give(Adopted())
    status = node.status
    assert (status.phase, status.start_time, status.host_ip, status.pod_ip) == ("Pending", NOW, HOST_IP, None)
    assert status.container_statuses[0].state.waiting.reason == "ContainerCreating"
    assert node.condition("PodReadyToStartContainers") == ("False", None)
    assert node.condition("PodScheduled") == ("True", None)


def test_a_running_pod() -> None:
    status = started(a_pod(meta={"generation": 3})).status
    (container,) = status.container_statuses
    assert (container.ready, container.started, container.restart_count) == (True, True, 0)
    assert (container.image, container.image_id) == ("docker.io/library/app:1", "docker.io/library/app:1@sha256:2")
    assert container.container_id == "crun://app-0"
    assert container.state.running.started_at == NOW
    assert [ip.ip for ip in status.pod_ips] == ["10.244.0.5"]
    assert {c.type: c.status for c in status.conditions} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert status.observed_generation == 3


def test_a_pod_with_host_networking_has_the_nodes_address() -> None:
    node = a_node(a_pod(host_network=True), hold=lambda i: isinstance(i, RunSandbox))
    node.give(Adopted())
    node.give(SandboxReady(""))
    assert node.status.pod_ip == HOST_IP


def test_transition_times_move_only_with_the_status() -> None:
    node = started(a_pod())
    node.later(10).exits("app", 1)
    node.later(10)
    times = {c.type: (c.last_transition_time - NOW).total_seconds() for c in node.status.conditions}
    assert times["Initialized"] == 0
    assert times["Ready"] == 10


@pytest.mark.parametrize(
    ("code", "oom_killed", "reason", "signal"),
    [
        pytest.param(0, False, "Completed", None, id="success"),
        pytest.param(3, False, "Error", None, id="failure"),
        pytest.param(143, False, "Error", 15, id="signal"),
        pytest.param(137, True, "OOMKilled", 9, id="out of memory"),
        pytest.param(255, False, "Error", None, id="no signal has this number"),
    ],
)
def test_how_a_container_ended(code: int, oom_killed: bool, reason: str, signal: int | None) -> None:
    node = started(a_pod(restart_policy="Never"))
    node.later(5).exits("app", code, oom_killed=oom_killed)
    ended = node.status.container_statuses[0].state.terminated
    assert (ended.exit_code, ended.reason, ended.signal) == (code, reason, signal)
    assert (ended.started_at, ended.finished_at) == (NOW, node.now)


def test_a_restart_shows_the_earlier_run_as_last_state() -> None:
    node = started(a_pod())
    node.exits("app", 7)
    (container,) = node.status.container_statuses
    assert container.state.running is not None
    assert container.last_state.terminated.exit_code == 7
    assert container.restart_count == 1


def test_between_two_runs_the_ended_one_is_the_state() -> None:
    node = started(a_pod())
    node.hold = lambda i: isinstance(i, CreateContainer)
    node.exits("app", 7)
    (container,) = node.status.container_statuses
    assert container.state.terminated.exit_code == 7
    assert (container.ready, container.restart_count) == (False, 0)
    assert node.status.phase == "Running"


def test_a_crash_loop_is_no_pending_pod() -> None:
    node = started(a_pod())
    node.exits("app", 1)
    node.exits("app", 1)
    assert node.status.container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
    assert node.status.phase == "Running"
    assert node.condition("Ready") == ("False", "ContainersNotReady")


def test_one_of_two_containers_that_ended_leaves_the_pod_running() -> None:
    node = started(a_pod(a_container("a"), a_container("b"), restart_policy="Never"))
    node.exits("a", 0)
    assert node.status.phase == "Running"
    message = next(c.message for c in node.status.conditions if c.type == "ContainersReady")
    assert message == "containers with unready status: [a]"
    node.exits("b", 1)
    assert node.status.phase == "Failed"
    assert node.condition("Ready") == ("False", "PodFailed")


def test_readiness_gates_hold_ready_back_until_their_condition_is_true() -> None:
    pod = a_pod(readiness_gates=(PodReadinessGate(condition_type="example.com/gate"),))
    assert started(pod).condition("Ready") == ("False", "ReadinessGatesNotReady")
    open_gate = PodStatus(conditions=(PodCondition(type="example.com/gate", status="True"),))
    assert started(replace(pod, status=open_gate)).condition("Ready") == ("True", None)


def test_a_terminal_phase_stays() -> None:
    node = a_node(a_pod(), stored=PodStatus(phase="Failed", start_time=NOW))
    node.give(Adopted())
    assert node.status.phase == "Failed"


def test_the_same_status_is_reported_once() -> None:
    node = started(a_pod())
    reports = [i for i in node.give(ContainerExited("app", 9, 0, False, NOW, NOW)) if isinstance(i, ReportStatus)]
    assert reports == []
