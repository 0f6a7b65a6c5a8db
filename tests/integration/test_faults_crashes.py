"""The whole agent is killed before any step of a pod's start and stop, and started again: each pod then runs once as
specified, or is gone without a trace."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.api.kinds import SECRETS
from orch.api.meta import ObjectMeta
from orch.api.pod.container import (
    Container,
    ContainerPort,
    ExecAction,
    Lifecycle,
    LifecycleHandler,
    VolumeMount,
)
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import EmptyDirVolumeSource, SecretVolumeSource, Volume
from orch.api.secret import Secret
from tests.agent_lab import AgentLab, agent_lab

SAMPLES = 12
SIDECAR, APP = "sidecar-runs", "app-runs"


@pytest.fixture(scope="module")
def machine() -> Iterator[AgentLab]:
    with agent_lab("crashes", count_steps=True) as made:
        made.wanted.put(
            SECRETS, Secret(metadata=ObjectMeta(name="s", namespace="default", uid="s"), data={"k": "dg=="})
        )
        yield made


def busybox(name: str, script: str, **fields: object) -> Container:
    mounts = (
        VolumeMount(name="data", mount_path="/data"),
        VolumeMount(name="data", mount_path="/part", sub_path="part"),
        VolumeMount(name="memory", mount_path="/memory"),
        VolumeMount(name="secret", mount_path="/secret"),
    )
    command = ("/bin/sh", "-c", script)
    return Container(name=name, image="busybox:1", command=command, volume_mounts=mounts, **fields)  # type: ignore[arg-type]


def a_pod(number: int) -> Pod:
    """With some of everything that leaves traces; `number` 3, 7, ... share a process namespace."""
    forever = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

    def hook(word: str) -> LifecycleHandler:
        return LifecycleHandler(exec=ExecAction(command=("/bin/sh", "-c", f"echo {word} >> /data/hooks")))

    return Pod(
        metadata=ObjectMeta(name=f"pod-{number}", namespace="default", uid=f"uid-{number}"),
        spec=PodSpec(
            node_name="node-1",
            termination_grace_period_seconds=2,
            share_process_namespace=number % 4 == 3,
            init_containers=(
                busybox("init", "echo init >> /data/init; cat /secret/k > /memory/k"),
                busybox("sidecar", f"echo {SIDECAR} >> /data/sidecar; {forever}", restart_policy="Always"),
            ),
            containers=(
                busybox(
                    "app", f"echo {APP} >> /data/app; {forever}",
                    lifecycle=Lifecycle(post_start=hook("started"), pre_stop=hook("stopping")),
                    ports=(ContainerPort(container_port=80, host_port=8080),),
                ),
            ),
            volumes=(
                Volume(name="data", empty_dir=EmptyDirVolumeSource()),
                Volume(name="memory", empty_dir=EmptyDirVolumeSource(medium="Memory")),
                Volume(name="secret", secret=SecretVolumeSource(secret_name="s")),
            ),
        ),
    )  # fmt: skip


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
