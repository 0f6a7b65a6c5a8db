"""A node whose clock is set by hours, forwards or backwards: what takes time takes as long as ever; what is told has
the new time. And no code of the agent measures a duration by the wall clock."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest

import nodeagent
from nodeagent.pod_events import Adopted, PodDesired, TimerFired
from nodeagent.pod_instructions import SetTimer, StopContainer
from nodeagent.pod_machine import PodMachine
from nodeagent.runtime.interface import ContainerState, ContainerStatus, SandboxState, SandboxStatus
from orch.api.pod.container import ExecAction, Lifecycle, LifecycleHandler
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from tests.unit.nodeagent.machine import HOST_IP, NOW, Node, a_container, a_pod

HOURS_S = 5 * 3600.0
JUMPS = pytest.mark.parametrize("jump_s", [HOURS_S, -HOURS_S])
MEASURING = {"total_seconds", "timestamp"}
"""What makes seconds of wall time."""
ALLOWED = {
    "log_reader.py": "logs are asked for by the time that is written in them",
    "pod_status.py": "a pod's age outlives agents and reboots; asked once, when the agent begins",
    "usage_reporter.py": "when a sample was taken is told, its window is measured steadily",
    "volumes/tokens.py": "a token's age when the agent begins: all that is known of it is when it was issued",
}


def started(pod: Pod) -> Node:
    node = Node(PodMachine(pod, PodStatus(), HOST_IP))
    node.give(Adopted())
    return node


def deleted(seconds: int) -> PodDesired:
    meta = {"deletion_timestamp": NOW, "deletion_grace_period_seconds": seconds}
    return PodDesired(a_pod(hooked(), meta=meta))


def hooked() -> object:
    hook = LifecycleHandler(exec=ExecAction(command=("true",)))
    return a_container(lifecycle=Lifecycle(pre_stop=hook))


def timers(done: list[object]) -> list[float]:
    return [round(one.delay_s, 3) for one in done if isinstance(one, SetTimer)]


@JUMPS
def test_a_grace_period_is_as_long_as_ever(jump_s: float) -> None:
    """10 of 30 seconds are over when the clock jumps; a shorter period is still known to be one."""
    node = started(a_pod(hooked()))
    node.hold = lambda instruction: not isinstance(instruction, SetTimer)
    assert timers(node.give(deleted(30))) == [30.0]
    node.later(10).set_clock(jump_s)
    assert timers(node.give(deleted(25))) == [], "25 s from now end later than 20"
    assert timers(node.give(deleted(15))) == [15.0]
    node.later(5)
    stops = [one for one in node.give(TimerFired("hook/app")) if isinstance(one, StopContainer)]
    assert [one.grace_s for one in stops] == [10.0]


@JUMPS
def test_a_deadline_comes_when_it_should(jump_s: float) -> None:
    node = started(a_pod())
    node.later(5).set_clock(jump_s)
    assert timers(node.give(PodDesired(a_pod(active_deadline_seconds=20)))) == [15.0]


@JUMPS
def test_a_short_run_clears_no_back_off_and_a_long_one_does(jump_s: float) -> None:
    node = started(a_pod())
    for delay_s in (None, 1.0, 2.0):
        node.later(1).set_clock(jump_s)
        assert timers(node.exits("app", 1)) == ([delay_s] if delay_s else [])
        node.give(TimerFired("container/app"))
    node.later(300).set_clock(jump_s)
    node.later(300)
    assert timers(node.exits("app", 1)) == []


@JUMPS
def test_a_run_that_an_earlier_agent_began_counts_whole(jump_s: float) -> None:
    """It began 500 s before this agent, by the clock that is never set."""
    node = Node(PodMachine(a_pod(), PodStatus(), HOST_IP))
    began_s = node.moment().steady_s - 500
    found = ContainerStatus(
        "app-0", "web-uid", "app", 0, "sha256:1", ContainerState.RUNNING, NOW,
        NOW + timedelta(seconds=jump_s), began_s, image="app:1",
    )  # fmt: skip
    node.give(Adopted(SandboxStatus("web-uid", "default", "web", SandboxState.READY, NOW, "10.244.0.5"), (found,)))
    assert timers(node.later(1).exits("app", 1)) == []
    node.later(1).give(TimerFired("container/app"))
    assert timers(node.later(1).exits("app", 1)) == [1.0]


def test_what_is_told_has_the_new_time() -> None:
    node = started(a_pod())
    node.later(1).set_clock(HOURS_S)
    node.exits("app", 1)
    assert node.status.container_statuses is not None
    ended = node.status.container_statuses[0].last_state.terminated
    assert ended is not None
    assert ended.finished_at == NOW + timedelta(seconds=HOURS_S + 1)


def test_no_code_measures_by_the_wall_clock() -> None:
    root = Path(nodeagent.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if measures(path)}
    assert found == set(ALLOWED)


def measures(path: Path) -> bool:
    """`time.time()`, or seconds made of wall time."""
    named = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    return any(node.attr in MEASURING or ast.unparse(node) in ("time.time", "time.time_ns") for node in named)
