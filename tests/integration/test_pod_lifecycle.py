"""Whole pods on the real runtime: hooks, stop signals, termination messages, ephemeral containers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.fake_parts import FakeProbes, FakeVolumes
from nodeagent.pod_events import PodDesired, PodRemoved
from nodeagent.pod_machine import PodMachine
from nodeagent.pod_parts import PodParts
from nodeagent.pod_worker import PodWorker
from nodeagent.runtime.interface import NoSuchContainer
from orch.api.pod.container import (
    Container,
    EphemeralContainer,
    ExecAction,
    Lifecycle,
    LifecycleHandler,
    SleepAction,
)
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStateTerminated, ContainerStatus, PodStatus
from orch.kit.clock import SystemClock
from tests.node_session import running
from tests.runtime_lab import Node, RuntimeLab, running_node, runtime_lab
from tests.unit.nodeagent.machine import HOST_IP, a_pod
from tests.unit.nodeagent.test_environment import Objects
from tests.unit.nodeagent.test_link import settle
from tests.unit.nodeagent.test_pod_worker import Told

SAYS_TERM = "trap 'echo TERM; exit 0' TERM; trap 'echo USR1; exit 7' USR1; echo up; while :; do sleep 0.02; done"


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("pods") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


class RunningPod:
    def __init__(self, node: Node, pod: Pod) -> None:
        self.node, self.pod, self.told = node, pod, Told()
        parts = PodParts(
            runtime=node.runtime,
            images=node.lab.images,
            volumes=FakeVolumes(),
            probes=FakeProbes(),
            inputs=Objects(),
            reports=self.told,
            clock=SystemClock(),
            node=NodeFacts("node-1", HOST_IP, {}, 1 << 30),
            allocations=Allocations({}, Path(node.lab.state_dir)),
            pod_logs=Path(node.lab.state_dir) / "pod-logs",
        )
        self.logs = parts.log_directory(pod)
        self.worker = PodWorker(PodMachine(pod, PodStatus(), HOST_IP), parts)

    async def watch_exits(self) -> None:
        async for exited in self.node.runtime.exits():
            try:
                self.worker.container_exited(await self.node.runtime.container_status(exited.container_id))
            except NoSuchContainer:
                continue

    def status(self, name: str = "app") -> ContainerStatus:
        status = self.told.status
        known = (*(status.container_statuses or ()), *(status.ephemeral_container_statuses or ()))
        return next((s for s in known if s.name == name), ContainerStatus(name=name))

    def log(self, name: str = "app") -> list[str]:
        path = self.logs / name / "0.log"
        return [line.split(" ", 3)[3] for line in path.read_text().splitlines()] if path.exists() else []

    async def runs(self, name: str = "app") -> None:
        await self.told.until(lambda told: self.status(name).state.running is not None)

    async def says(self, text: str, name: str = "app") -> None:
        await settle(lambda: text in self.log(name))

    async def ended(self, name: str = "app") -> ContainerStateTerminated:
        await self.told.until(lambda told: self.status(name).state.terminated is not None)
        ended = self.status(name).state.terminated
        assert ended is not None
        return ended


@asynccontextmanager
async def running_pod(node: Node, *containers: Container, **spec: object) -> AsyncIterator[RunningPod]:
    """Afterwards the pod is removed."""
    pod = RunningPod(node, a_pod(*containers, **{"termination_grace_period_seconds": 5, **spec}))  # type: ignore[arg-type]
    async with running(pod.watch_exits()):
        pod.worker.adopt(None, ())
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(pod.worker.run())
            try:
                yield pod
            finally:
                pod.worker.post(PodRemoved())
                await worker


def busybox(script: str, **fields: object) -> Container:
    command = ("/bin/sh", "-c", script)
    return Container(**{"name": "app", "image": "busybox:1", "command": command, **fields})  # type: ignore[arg-type]


def run(script: str) -> LifecycleHandler:
    return LifecycleHandler(exec=ExecAction(command=("/bin/sh", "-c", script)))


async def test_post_start_runs_beside_the_entrypoint_and_holds_back_running(node: Node) -> None:
    hook = run("while [ ! -e /tmp/go ]; do sleep 0.02; done; echo done > /tmp/hooked")
    script = f"mkdir -p /tmp; {SAYS_TERM}"
    async with running_pod(node, busybox(script, lifecycle=Lifecycle(post_start=hook))) as pod:
        await pod.says("up")
        assert pod.status().state.waiting is not None
        (found,) = await node.runtime.list_containers()
        await node.inside(found.id, "touch", "/tmp/go")
        await pod.runs()
        assert await node.inside(found.id, "cat", "/tmp/hooked") == "done\n"


async def test_a_post_start_hook_that_fails_ends_the_container(node: Node) -> None:
    container = busybox(SAYS_TERM, lifecycle=Lifecycle(post_start=run("sleep 0.2; exit 3")))
    async with running_pod(node, container, restart_policy="Never") as pod:
        await pod.ended()
        assert "FailedPostStartHook" in pod.told.events
        assert pod.log() == ["up", "TERM"]


async def test_pre_stop_ends_before_the_stop_signal_is_sent(node: Node) -> None:
    hook = run("sleep 0.3; echo hook > /proc/1/fd/1")
    lifecycle = Lifecycle(pre_stop=hook, stop_signal="SIGUSR1")
    async with running_pod(node, busybox(SAYS_TERM, lifecycle=lifecycle), restart_policy="Never") as pod:
        await pod.says("up")
        await pod.runs()
        log = pod.logs / "app" / "0.log"
        reader = log.open()
        pod.worker.post(PodRemoved())
        assert (await pod.ended()).exit_code == 7
        assert [line.split(" ", 3)[3].strip() for line in reader] == ["up", "hook", "USR1"]
        reader.close()


async def test_a_hook_longer_than_the_grace_period_is_cut_off(node: Node) -> None:
    lifecycle = Lifecycle(pre_stop=LifecycleHandler(sleep=SleepAction(seconds=600)))
    container = busybox(SAYS_TERM, lifecycle=lifecycle)
    async with running_pod(node, container, restart_policy="Never", termination_grace_period_seconds=1) as pod:
        await pod.says("up")
        await pod.runs()
        pod.worker.post(PodRemoved())
        assert (await pod.ended()).exit_code == 0


async def test_the_termination_message_is_what_the_container_wrote(node: Node) -> None:
    script = "echo all is lost > /dev/termination-log; exit 9"
    container = busybox(script, termination_message_path="/dev/termination-log")
    async with running_pod(node, container, restart_policy="Never") as pod:
        ended = await pod.ended()
        assert (ended.exit_code, ended.reason, ended.message) == (9, "Error", "all is lost\n")


async def test_the_log_stands_in_for_a_termination_message(node: Node) -> None:
    container = busybox(
        "echo first; echo last words; exit 1",
        termination_message_path="/tmp/end",
        termination_message_policy="FallbackToLogsOnError",
    )
    async with running_pod(node, container, restart_policy="Never") as pod:
        assert (await pod.ended()).message == "first\nlast words\n"


async def test_an_ephemeral_container_sees_the_processes_of_its_target(node: Node) -> None:
    async with running_pod(node, busybox("exec sleep 4711")) as pod:
        await pod.runs()
        debug = EphemeralContainer(
            name="debug", image="busybox:1", command=("/bin/sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; echo"),
            target_container_name="app",
        )  # fmt: skip
        spec = replace(pod.pod.spec, ephemeral_containers=(debug,))
        pod.worker.post(PodDesired(replace(pod.pod, spec=spec)))
        assert (await pod.ended("debug")).exit_code == 0
        assert pod.log("debug")[0].split()[:2] == ["sleep", "4711"]
        assert pod.told.status.phase == "Running"
