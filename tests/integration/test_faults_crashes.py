"""The whole agent is killed before any step of a pod's start and stop, and started again: each pod then runs once as
specified, or is gone without a trace."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.api.kinds import SECRETS
from orch.api.pod.spec import Pod
from tests.agent_lab import AgentLab, agent_lab
from tests.agent_pods import APP, SECRET, SIDECAR, a_pod

SAMPLES = 12


@pytest.fixture(scope="module")
def machine() -> Iterator[AgentLab]:
    with agent_lab("crashes", count_steps=True) as made:
        made.wanted.put(SECRETS, SECRET)
        yield made


def lines(machine: AgentLab, uid: str, name: str) -> int:
    path = machine.state_dir / "pod-volumes" / uid / "volumes" / "data" / name
    return len(path.read_text().splitlines()) if path.exists() else 0


def assert_runs_once(machine: AgentLab, uid: str) -> None:
    def counts() -> list[int]:
        return [sum(f"echo {mark}" in command for command in machine.processes()) for mark in (SIDECAR, APP)]

    machine.until(lambda: counts() == [1, 1], "each command to run once", 5)  # a shell that forks is there twice
    machine.until(lambda: lines(machine, uid, "app") > 0, "the command to begin")
    assert [lines(machine, uid, name) for name in ("init", "sidecar", "app")] == [1, 1, 1]
    assert lines(machine, uid, "hooks") >= 1
    assert machine.restarts(uid) == [0, 0, 0]
    assert [path.name for path in Path(machine.run_dir, "sandboxes").iterdir()] == [uid]


def end(machine: AgentLab, pod: Pod) -> None:
    machine.delete(pod)
    assert_goes(machine, pod)


def assert_goes(machine: AgentLab, pod: Pod) -> None:
    machine.until(lambda: machine.wanted.is_stopped(pod.metadata.uid), "the pod to be stopped")
    machine.assert_clean()


def points(steps: int) -> range:
    """All with ORCH_TEST_EVERY_STEP=1, else a spread; a few behind the last, since counts differ from run to run."""
    last = steps + steps // 10
    return range(0, last, 1 if os.environ.get("ORCH_TEST_EVERY_STEP") else max(1, last // SAMPLES))


def crash(machine: AgentLab, step: int, reached: str, pod: Pod) -> None:
    """Waits until the agent was killed or, if it does not take so many steps, the pod is there; then starts one. An
    agent that still runs is killed: it may be just about to be."""
    uid = pod.metadata.uid
    done = {"running": lambda: machine.runs(uid), "stopped": lambda: machine.wanted.is_stopped(uid)}[reached]
    machine.until(lambda: not machine.is_running() or done(), f"a crash before step {step}, or the pod {reached}")
    machine.steps.crash_in(-1)
    machine.restart()


def test_a_crash_at_any_step_of_the_start(machine: AgentLab) -> None:
    measured = a_pod(0)
    machine.steps.crash_in(-1)
    uid = machine.run(measured)
    machine.until(lambda: machine.runs(uid), "the pod to run")
    steps = machine.steps.taken
    assert steps > 50
    assert_runs_once(machine, uid)
    machine.delete(measured)
    machine.until(lambda: machine.wanted.is_stopped(uid), "the pod to be stopped")
    machine.note_idle()
    assert "8080" not in str(machine.rules())
    for number, step in enumerate(points(steps), start=1):
        pod = a_pod(number)
        machine.steps.crash_in(step)
        uid = machine.run(pod)
        crash(machine, step, "running", pod)
        machine.until(lambda: machine.runs(uid), f"the pod to run after a crash before step {step}")  # noqa: B023
        assert_runs_once(machine, uid)
        end(machine, pod)


def test_a_crash_at_any_step_of_the_stop(machine: AgentLab) -> None:
    steps = 200
    for number, step in enumerate([-1, *points(steps)], start=1000):
        pod = a_pod(number)
        uid = machine.run(pod)
        machine.until(lambda: machine.runs(uid), "the pod to run")  # noqa: B023
        machine.steps.crash_in(step)
        machine.delete(pod)
        crash(machine, step, "stopped", pod)
        assert_goes(machine, pod)
