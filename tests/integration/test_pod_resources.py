"""What a pod's resources and runtime class come to in the kernel: resizes of live processes, handlers, kills."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.fake_parts import FakeProbes, FakeVolumes
from nodeagent.pod_events import PodDesired, PodRemoved
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pod_machine import PodMachine
from nodeagent.pod_parts import PodParts
from nodeagent.pod_worker import PodWorker
from nodeagent.runtime.cgroups import detect_here
from nodeagent.runtime.interface import NoSuchContainer
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container, ContainerResizePolicy
from orch.api.pod.qos import qos_class
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStatus, PodStatus
from orch.api.runtimeclass import RuntimeClass
from orch.api.shared import ResourceRequirements
from orch.kit.clock import SystemClock
from tests.node_session import running
from tests.runtime_lab import Node, RuntimeLab, running_node, runtime_lab
from tests.unit.nodeagent.machine import HOST_IP, a_container, a_pod
from tests.unit.nodeagent.test_environment import Objects
from tests.unit.nodeagent.test_link import settle
from tests.unit.nodeagent.test_pod_worker import Told

MIB = 1 << 20
IS_V2 = detect_here().is_v2
MEMORY_LIMIT = "memory.max" if IS_V2 else "memory.limit_in_bytes"
CPU_QUOTA = "cpu.max" if IS_V2 else "cpu.cfs_quota_us"
FOREVER = "while :; do sleep 1; done"
HOLD_MEMORY = "dd if=/dev/zero of=/dev/shm/held bs=1M count=48 2>/dev/null; echo held; while :; do sleep 1; done"
FACTS = NodeFacts("node-1", HOST_IP, {"cpu": "2", "memory": "1Gi"}, 1 << 30)
CLASSES = (
    RuntimeClass(metadata=ObjectMeta(name="other"), handler="runc"),
    RuntimeClass(metadata=ObjectMeta(name="vm"), handler="kata"),
)


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("podres") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


def app(script: str = FOREVER, **fields: Any) -> Container:
    return a_container("app", image="busybox:1", command=("/bin/sh", "-c", script), **fields)


def size(cpu: str, memory: str) -> ResourceRequirements:
    return ResourceRequirements(requests={"cpu": cpu, "memory": "16Mi"}, limits={"cpu": cpu, "memory": memory})


class Heard(Told):
    """Keeps what events say, too."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def event(self, pod: Pod, event: EmitEvent) -> None:
        self.messages.append(event.message)
        super().event(pod, event)


class LivePod:
    def __init__(self, node: Node, container: Container, folder: Path, **spec: Any) -> None:
        spec = {"termination_grace_period_seconds": 0, **spec}
        pod = a_pod(container, **spec)
        self.node, self.told = node, Heard()
        self.pod = replace(pod, status=PodStatus(qos_class=qos_class(pod.spec)))
        self.parts = PodParts(
            runtime=node.runtime,
            images=node.lab.images,
            volumes=FakeVolumes(),
            probes=FakeProbes(),
            inputs=Objects(*CLASSES),
            reports=self.told,
            clock=SystemClock(),
            node=FACTS,
            allocations=Allocations(FACTS.allocatable, folder),
            pod_logs=folder / "logs",
        )
        self.parts.allocations.admitted(self.pod)
        self.worker = PodWorker(PodMachine(self.pod, self.pod.status, HOST_IP), self.parts)

    async def watch_exits(self) -> None:
        async for exited in self.node.runtime.exits():
            try:
                self.worker.container_exited(await self.node.runtime.container_status(exited.container_id))
            except NoSuchContainer:
                continue

    @property
    def status(self) -> ContainerStatus:
        return next(iter(self.told.status.container_statuses or ()), ContainerStatus())

    @property
    def container_id(self) -> str:
        return (self.status.container_id or "").rpartition("/")[2]

    def conditions(self) -> list[tuple[str, str | None]]:
        return [(c.type, c.reason) for c in self.told.status.conditions or () if c.type.startswith("PodResize")]

    async def runs(self, attempt: int = 0) -> None:
        def running_now(told: Told) -> bool:
            return self.status.state.running is not None and self.status.restart_count >= attempt

        await self.told.until(running_now)

    def resize(self, resources: ResourceRequirements) -> None:
        container = replace(self.pod.spec.containers[0], resources=resources)
        self.pod = replace(self.pod, spec=replace(self.pod.spec, containers=(container,)))
        self.worker.post(PodDesired(self.pod))

    async def resized(self, resources: ResourceRequirements) -> None:
        await self.told.until(lambda told: self.status.resources == resources and not self.conditions())

    def in_kernel(self, file: str, *, of_pod: bool = False) -> str:
        lab = self.node.lab
        uid, quality = self.pod.metadata.uid, (self.pod.status.qos_class or "").lower()
        sandbox = lab.sandbox(pod_uid=uid, cgroup_parent=f"kubepods/{quality}/pod{uid}")
        return lab.cgroup_file(sandbox, file, "" if of_pod else self.container_id)


@asynccontextmanager
async def live_pod(node: Node, container: Container, folder: Path, **spec: Any) -> AsyncIterator[LivePod]:
    """Afterwards the pod is removed."""
    pod = LivePod(node, container, folder, **spec)
    async with running(pod.watch_exits()), asyncio.TaskGroup() as group:
        pod.worker.adopt(None, ())
        worker = group.create_task(pod.worker.run())
        try:
            yield pod
        finally:
            pod.worker.post(PodRemoved())
            await worker


def quota(cpu_us: int) -> str:
    return f"{cpu_us} 100000" if IS_V2 else str(cpu_us)


async def test_a_live_process_gets_more_and_less_without_a_restart(node: Node, tmp_path: Path) -> None:
    async with live_pod(node, app(resources=size("500m", "64Mi")), tmp_path) as pod:
        await pod.runs()
        pid, identity = node.pid(pod.container_id), pod.container_id
        assert (pod.in_kernel(MEMORY_LIMIT), pod.in_kernel(CPU_QUOTA)) == (str(64 * MIB), quota(50_000))
        for resources, memory, cpu_us in (
            (size("1", "128Mi"), 128 * MIB, 100_000),
            (size("200m", "32Mi"), 32 * MIB, 20_000),
        ):
            pod.resize(resources)
            await pod.resized(resources)
            for of_pod in (False, True):
                assert pod.in_kernel(MEMORY_LIMIT, of_pod=of_pod) == str(memory)
                assert pod.in_kernel(CPU_QUOTA, of_pod=of_pod) == quota(cpu_us)
        assert (pod.container_id, node.pid(identity), pod.status.restart_count) == (identity, pid, 0)
        assert pod.status.allocated_resources == {"cpu": "200m", "memory": "16Mi"}


async def test_a_policy_makes_the_resize_a_restart(node: Node, tmp_path: Path) -> None:
    policy = (ContainerResizePolicy("memory", "RestartContainer"),)
    async with live_pod(node, app(resources=size("500m", "64Mi"), resize_policy=policy), tmp_path) as pod:
        await pod.runs()
        first = pod.container_id
        pod.resize(size("500m", "96Mi"))
        await pod.runs(attempt=1)
        await pod.resized(size("500m", "96Mi"))
        assert (pod.container_id != first, pod.status.restart_count) == (True, 1)
        assert pod.in_kernel(MEMORY_LIMIT) == pod.in_kernel(MEMORY_LIMIT, of_pod=True) == str(96 * MIB)


async def test_memory_is_never_shrunk_below_what_is_in_use(node: Node, tmp_path: Path) -> None:
    async with live_pod(node, app(HOLD_MEMORY, resources=size("500m", "128Mi")), tmp_path) as pod:
        await pod.runs()
        log = pod.parts.log_directory(pod.pod) / "app" / "0.log"
        await settle(lambda: "held" in log.read_text())
        pid = node.pid(pod.container_id)
        pod.resize(size("500m", "20Mi"))
        await pod.told.until(lambda told: ("PodResizeInProgress", "Error") in pod.conditions())
        assert int(pod.in_kernel(MEMORY_LIMIT)) == 128 * MIB
        assert (node.pid(pod.container_id), pod.status.restart_count) == (pid, 0)
        await node.inside(pod.container_id, "rm", "/dev/shm/held")
        await pod.resized(size("500m", "20Mi"))
        assert (pod.in_kernel(MEMORY_LIMIT), node.pid(pod.container_id)) == (str(20 * MIB), pid)


async def test_what_does_not_fit_is_told_and_changes_nothing(node: Node, tmp_path: Path) -> None:
    async with live_pod(node, app(resources=size("500m", "64Mi")), tmp_path) as pod:
        await pod.runs()
        pod.resize(size("3", "64Mi"))
        await pod.told.until(lambda told: ("PodResizePending", "Infeasible") in pod.conditions())
        assert pod.in_kernel(CPU_QUOTA) == quota(50_000)
        neighbour = a_pod(app(resources=size("1", "64Mi")), meta={"uid": "neighbour"})
        pod.parts.allocations.admitted(neighbour)
        pod.resize(size("1500m", "64Mi"))
        await pod.told.until(lambda told: ("PodResizePending", "Deferred") in pod.conditions())
        pod.parts.allocations.release("neighbour")
        await pod.resized(size("1500m", "64Mi"))
        assert pod.in_kernel(CPU_QUOTA) == quota(150_000)


async def test_a_pod_limits_its_containers_as_a_whole(node: Node, tmp_path: Path) -> None:
    whole = ResourceRequirements(requests={"cpu": "100m", "memory": "32Mi"}, limits={"cpu": "500m", "memory": "48Mi"})
    greedy = app("(tail /dev/zero; echo $?) & wait; while :; do sleep 1; done")
    async with live_pod(node, greedy, tmp_path, resources=whole) as pod:
        await pod.runs()
        for of_pod in (False, True):
            assert pod.in_kernel(MEMORY_LIMIT, of_pod=of_pod) == str(48 * MIB)
            assert pod.in_kernel(CPU_QUOTA, of_pod=of_pod) == quota(50_000)
        log = pod.parts.log_directory(pod.pod) / "app" / "0.log"
        await settle(lambda: "137" in log.read_text())  # what took more than the pod has was killed
        assert pod.status.resources is None  # the limits are the pod's, not the container's


async def test_a_pod_runs_under_the_handler_of_its_class(node: Node, tmp_path: Path) -> None:
    async with live_pod(node, app(resources=size("500m", "64Mi")), tmp_path, runtime_class_name="other") as pod:
        await pod.runs()
        assert (Path(node.lab.run_dir) / "runc" / pod.container_id).is_dir()
        pod.resize(size("1", "128Mi"))
        await pod.resized(size("1", "128Mi"))
        assert pod.in_kernel(MEMORY_LIMIT) == str(128 * MIB)


@pytest.mark.parametrize(("name", "complaint"), [("vm", "kata"), ("nobody", 'RuntimeClass "nobody" not found')])
async def test_a_handler_that_is_not_there_is_told(node: Node, tmp_path: Path, name: str, complaint: str) -> None:
    async with live_pod(node, app(), tmp_path, runtime_class_name=name) as pod:
        await pod.told.until(lambda told: "FailedCreatePodSandBox" in told.events)
        assert any(complaint in message for message in pod.told.messages)
        waiting = pod.status.state.waiting
        assert waiting is not None
        assert waiting.reason == "ContainerCreating"


@pytest.mark.parametrize(
    ("script", "reason", "code"),
    [
        ("exec tail /dev/zero", "OOMKilled", 137),
        ("tail /dev/zero; exit 3", "OOMKilled", 3),
        ("sleep 9 & kill -9 $!; wait $!", "Error", 137),
    ],
)
async def test_a_kill_for_memory_is_told_from_others(
    node: Node, tmp_path: Path, script: str, reason: str, code: int
) -> None:
    async with live_pod(node, app(script, resources=size("500m", "32Mi")), tmp_path, restart_policy="Never") as pod:
        await pod.told.until(lambda told: pod.status.state.terminated is not None)
        ended = pod.status.state.terminated
        assert ended is not None
        assert (ended.reason, ended.exit_code) == (reason, code)


async def test_a_kill_from_outside_is_no_kill_for_memory(node: Node, tmp_path: Path) -> None:
    container = app(resources=size("500m", "32Mi"))
    async with live_pod(node, container, tmp_path, restart_policy="Never") as pod:
        await pod.runs()
        os.kill(node.pid(pod.container_id), signal.SIGKILL)
        await pod.told.until(lambda told: pod.status.state.terminated is not None)
        ended = pod.status.state.terminated
        assert ended is not None
        assert (ended.reason, ended.exit_code) == ("Error", 137)
