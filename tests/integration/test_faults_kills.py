"""What is killed while pods run, start and stop: monitors, containers, the OCI runtime, the agent, its supervisor; and
the machine, which boots anew."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.api.kinds import PODS
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container, VolumeMount
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import EmptyDirVolumeSource, Volume
from tests.agent_lab import AgentLab, agent_lab

CROWD = 20
FOREVER = "echo here >> /data/runs; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"


@pytest.fixture
def machine() -> Iterator[AgentLab]:
    with agent_lab("kills") as made:
        yield made


def a_pod(name: str, *init: Container) -> Pod:
    mounts = (VolumeMount(name="data", mount_path="/data"),)
    app = Container(name="app", image="busybox:1", command=("/bin/sh", "-c", FOREVER), volume_mounts=mounts)
    spec = PodSpec(
        node_name="node-1",
        containers=(app,),
        init_containers=init,
        volumes=(Volume(name="data", empty_dir=EmptyDirVolumeSource()),),
        termination_grace_period_seconds=2,
    )
    return Pod(metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}"), spec=spec)


def runs(machine: AgentLab, pod: Pod) -> int:
    """How often the pod's command has been started."""
    path = machine.state_dir / "pod-volumes" / pod.metadata.uid / "volumes/data/runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def assert_ran(machine: AgentLab, times: int, *pods: Pod) -> None:
    """A shell that runs has not said so yet."""
    machine.until(lambda: all(runs(machine, pod) >= times for pod in pods), "the commands to begin")
    assert [runs(machine, pod) for pod in pods] == [times] * len(pods)


def container_files(machine: AgentLab, name: str) -> list[int]:
    """Pids of all containers, or of their monitors (`conmon.pid`)."""
    return [int(path.read_text()) for path in Path(machine.run_dir, "containers").glob(f"*/{name}")]


def start(machine: AgentLab, *pods: Pod) -> None:
    for pod in pods:
        machine.run(pod)
    wait_running(machine, *pods)


def wait_running(machine: AgentLab, *pods: Pod) -> None:
    machine.until(lambda: all(machine.runs(pod.metadata.uid) for pod in pods), "the pods to run")


def end(machine: AgentLab, *pods: Pod) -> None:
    for pod in pods:
        machine.delete(pod)
    assert_gone(machine, *pods)


def assert_gone(machine: AgentLab, *pods: Pod) -> None:
    machine.until(lambda: all(machine.wanted.is_stopped(pod.metadata.uid) for pod in pods), "the pods to be stopped")
    machine.assert_clean()


@pytest.mark.parametrize("victim", ["conmon.pid", "pid"])
def test_what_was_killed_is_started_again_once(machine: AgentLab, victim: str) -> None:
    pod = a_pod("victim")
    start(machine, pod)
    [before] = container_files(machine, "pid")
    [pid] = container_files(machine, victim)
    os.kill(pid, signal.SIGKILL)
    machine.until(lambda: machine.restarts(pod.metadata.uid) == [1], "the restart")
    wait_running(machine, pod)
    assert_ran(machine, 2, pod)
    assert not Path(f"/proc/{before}").exists()
    machine.until(lambda: sum("here" in command for command in machine.processes()) == 1, "one process")
    end(machine, pod)


def test_a_monitor_that_dies_with_the_agent_is_missed_by_the_next_agent(machine: AgentLab) -> None:
    pod = a_pod("orphan")
    start(machine, pod)
    machine.kill()
    for name in ("conmon.pid", "pid"):
        for pid in container_files(machine, name):
            os.kill(pid, signal.SIGKILL)
    machine.start()
    machine.until(lambda: machine.restarts(pod.metadata.uid) == [1], "the restart")
    wait_running(machine, pod)
    assert_ran(machine, 2, pod)
    end(machine, pod)


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5])
def test_the_agent_is_killed_while_twenty_pods_start_and_while_they_stop(machine: AgentLab, after_s: float) -> None:
    pods = [a_pod(f"crowd-{number}") for number in range(CROWD)]
    for pod in pods:
        machine.run(pod)
    machine.pause(after_s)
    machine.restart()
    wait_running(machine, *pods)
    assert_ran(machine, 1, *pods)
    assert [machine.restarts(pod.metadata.uid) for pod in pods] == [[0]] * CROWD
    for pod in pods:
        machine.delete(pod)
    machine.pause(after_s)
    machine.restart()
    assert_gone(machine, *pods)


def test_the_supervisors_end_is_the_agents_and_nobody_elses(machine: AgentLab) -> None:
    pod = a_pod("alone")
    start(machine, pod)
    before = container_files(machine, "pid")
    machine.kill_supervisor()
    machine.start()
    machine.until(lambda: "agent_started" in machine.log(), "the next agent")
    wait_running(machine, pod)
    assert container_files(machine, "pid") == before
    assert_ran(machine, 1, pod)
    assert machine.restarts(pod.metadata.uid) == [0]
    end(machine, pod)


def test_after_a_reboot_every_pod_runs_again_once(machine: AgentLab) -> None:
    """Also while the server is away: what is wanted is on the disk."""
    first = Container(name="first", image="busybox:1", command=("/bin/sh", "-c", "exit 0"))
    pods = [a_pod("with-init", first), a_pod("plain")]
    start(machine, *pods)
    machine.server.close()
    machine.reboot()
    machine.until(lambda: [runs(machine, pod) for pod in pods] == [2, 2], "the pods to run again")
    machine.server.open()
    machine.until(lambda: [machine.restarts(pod.metadata.uid) for pod in pods] == [[1, 1], [1]], "the new attempts")
    wait_running(machine, *pods)
    assert_ran(machine, 2, *pods)
    end(machine, *pods)


def test_a_run_folder_that_outlived_a_reboot_counts_for_nothing(machine: AgentLab) -> None:
    pod = a_pod("kept")
    start(machine, pod)
    machine.reboot(keep_run_dir=True)
    machine.until(lambda: machine.restarts(pod.metadata.uid) == [1], "the new attempt")
    wait_running(machine, pod)
    assert_ran(machine, 2, pod)
    end(machine, pod)


def test_pods_removed_while_the_agent_was_down_are_gone_when_it_is_back(machine: AgentLab) -> None:
    kept, removed = a_pod("kept"), a_pod("removed")
    start(machine, kept, removed)
    machine.kill()
    machine.wanted.drop(PODS, removed.metadata.uid)
    machine.start()
    machine.until(lambda: sum("here" in command for command in machine.processes()) == 1, "the removed pod's end")
    machine.until(lambda: machine.sandboxes() == [kept.metadata.uid], "its sandbox's end")
    assert_ran(machine, 1, kept)
    assert machine.restarts(kept.metadata.uid) == [0]
    end(machine, kept)
