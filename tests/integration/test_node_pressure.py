"""A node that runs short, for real: memory in a cgroup of its own, files on disk, and the kernel's alarm."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nodeagent import pressure_relief
from nodeagent.images.garbage import ImageGarbage, Policy
from nodeagent.pod_events import EndPod
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pressure import Level, thresholds
from nodeagent.pressure_alarm import MemoryAlarm
from nodeagent.pressure_relief import EvictionPolicy, NodeConditions, PressureRelief
from nodeagent.pressure_signals import disk_levels, read_levels
from nodeagent.runtime.cgroups import detect_here
from nodeagent.runtime.figures import DiskUsage
from nodeagent.runtime.interface import Resources
from nodeagent.runtime.usage import of_folder, working_set_bytes
from orch.api.kinds import PODS
from orch.api.pod.spec import Pod
from orch.kit.clock import SystemClock
from tests.node_session import running
from tests.runtime_lab import Node, RuntimeLab, running_node, runtime_lab, shell

MIB = 1 << 20
NODE_BYTES = 192 * MIB
NO_LIMITS = Resources()
WAIT_S = 90.0
HOLD = "head -c {0} /dev/zero > /dev/shm/held && echo holds; sleep 1000"
"""Memory of a tmpfs, which nothing can take back."""
WRITE = "for i in 1 2 3 4; do (while :; do head -c 100000000 /dev/zero > /$i; done) & done"
"""More files than there is room for: on v2 the alarm tells of processes that wait for memory, not of its use."""


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("pressure") as made:
        made.cgroups.create(made.cgroup_root, Resources(memory_limit_bytes=NODE_BYTES))
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


class Short:
    """A node with pods and what keeps it from running short. Implements pressure_relief.NodePods."""

    def __init__(self, node: Node, hard: str) -> None:
        self.node, self.pods, self.containers = node, dict[str, Pod](), dict[str, str]()
        self.ended: list[tuple[str, EndPod]] = []
        self.first_end = asyncio.Event()
        self.told: list[EmitEvent] = []
        self.conditions, self.node_told = NodeConditions(), 0
        state, images = Path(node.lab.state_dir), Path(node.lab.state_dir, "images")
        garbage = ImageGarbage(
            node.lab.images,
            self.images_in_use,
            lambda: disk_levels(images)[0],
            Policy(),
            self.told.append,
            SystemClock(),
        )
        self.relief = PressureRelief(
            policy=EvictionPolicy(thresholds(hard)),
            conditions=self.conditions,
            levels=lambda: read_levels(self.memory, state, images),
            alarm=MemoryAlarm(detect_here(), node.lab.cgroup_root),
            runtime=node.runtime,
            pods=self,
            images=garbage,
            empty_dirs=self.empty_dirs,
            tell=self.told.append,
            tell_node=self.tell_node,
            clock=SystemClock(),
        )

    def memory(self) -> Level:
        lab = self.node.lab
        return Level(NODE_BYTES - working_set_bytes(lab.cgroups, lab.cgroup_root), NODE_BYTES)

    async def images_in_use(self) -> Collection[str]:
        return {container.image_id for container in await self.node.runtime.list_containers()}

    async def empty_dirs(self, pod: Pod) -> Mapping[str, DiskUsage]:
        return {volume.name: of_folder(f"{self.node.lab.state_dir}/{volume.name}") for volume in pod.spec.volumes or ()}

    async def start(self, name: str, script: str, limits: Resources = NO_LIMITS, **spec: Any) -> str:
        """A pod with one container `main`, once its script has said something. Its uid."""
        sandbox = await self.node.pod()
        plain = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "uid": sandbox.pod_uid},
            "spec": {"containers": [{"name": "main", "image": "busybox:1"}]} | spec,
        }
        self.containers[sandbox.pod_uid] = await self.node.start(
            shell(sandbox, self.node.image, script, resources=limits)
        )
        self.pods[sandbox.pod_uid] = PODS.codec.decode_lenient(plain).obj
        async with asyncio.timeout(WAIT_S):
            while not self.node.lab.log(sandbox):  # noqa: ASYNC110 - a log file sends no event
                await asyncio.sleep(0.01)
        return sandbox.pod_uid

    def active_pods(self) -> Sequence[tuple[Pod, bool]]:
        return [(pod, False) for pod in self.pods.values()]

    async def end_pod(self, uid: str, order: EndPod, wait_s: float) -> None:
        pod = self.pods.pop(uid)
        self.ended.append((pod.metadata.name, order))
        self.first_end.set()
        await self.node.runtime.stop_container(self.containers[uid], 0)
        await self.node.runtime.remove_pod_sandbox(uid)

    async def remove_dead_containers(self) -> None:
        pass

    def tell_node(self) -> None:
        self.node_told += 1


def requesting(memory: str) -> list[dict[str, Any]]:
    return [{"name": "main", "image": "busybox:1", "resources": {"requests": {"memory": memory}}}]


async def test_the_pod_that_exceeds_its_request_goes_and_the_alarm_brings_it_about(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. two pods within the node's memory, a look finds nothing 2. one grows beyond its request: it is ended though no
    slow look is due, the larger one that keeps its word stays."""
    monkeypatch.setattr(pressure_relief, "LOOK_PERIOD_S", 10 * WAIT_S)
    short = Short(node, "memory.available<100Mi")
    modest = await short.start("modest", HOLD.format(60 * MIB), containers=requesting("64Mi"))
    write, limits = (WRITE, Resources(memory_limit_bytes=60 * MIB)) if detect_here().is_v2 else ("", NO_LIMITS)
    grow = f"echo waits; sleep 3; head -c 50000000 /dev/zero > /dev/shm/held; {write}\nsleep 1000"
    await short.start("greedy", grow, limits, containers=requesting("10Mi"), priority=1000)
    assert not await short.relief.look()
    assert short.conditions.current == set()
    async with running(short.relief.run()):
        await asyncio.wait_for(short.first_end.wait(), WAIT_S)
    [(name, order)] = short.ended
    assert name == "greedy"
    assert order.reason == "Evicted"
    assert order.message.startswith("The node was low on resource: memory. Threshold quantity: 100Mi, available: ")
    assert "Container main was using " in order.message
    assert "request is 10Mi, has larger consumption of memory. " in order.message
    assert short.conditions.current == {"MemoryPressure"}
    assert short.node_told == 1
    assert [event.reason for event in short.told] == ["EvictionThresholdMet"]
    assert list(short.pods) == [modest]
    await node.runtime.stop_container(short.containers[modest], 0)
    await node.runtime.remove_pod_sandbox(modest)


class Uncountable(Short):
    """Its pods have files without end."""

    async def empty_dirs(self, pod: Pod) -> Mapping[str, DiskUsage]:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


async def test_a_count_of_files_that_does_not_end_holds_up_no_relief(node: Node) -> None:
    short = Uncountable(node, "memory.available<150Mi")
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]
    await short.start("greedy", HOLD.format(60 * MIB), containers=requesting("10Mi"), volumes=volumes)
    async with running(short.relief.run()):
        await asyncio.wait_for(short.first_end.wait(), WAIT_S)
    assert [name for name, _ in short.ended] == ["greedy"]


async def test_files_beyond_a_containers_limit_end_its_pod(node: Node) -> None:
    short = Short(node, "memory.available<1Mi")
    limited = [
        {"name": "main", "image": "busybox:1", "resources": {"limits": {"ephemeral-storage": "10Mi"}}},
    ]
    within = await short.start("within", "head -c 5000000 /dev/zero > /f; echo wrote; sleep 1000", containers=limited)
    await short.start("beyond", "head -c 20000000 /dev/zero > /f; sync; echo wrote; sleep 1000", containers=limited)
    assert await short.relief.end_those_over_their_limits()
    [(name, order)] = short.ended
    assert name == "beyond"
    assert order.message == "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. "
    assert not order.disrupts
    assert list(short.pods) == [within]
    await node.runtime.stop_container(short.containers[within], 0)
    await node.runtime.remove_pod_sandbox(within)


async def test_disk_pressure_frees_unused_images_before_it_ends_a_pod(node: Node) -> None:
    short = Short(node, "nodefs.available<99%")
    writer = await short.start("writer", "head -c 5000000 /dev/zero > /f; echo wrote; sleep 1000")
    assert await short.relief.look()
    assert [name for name, _ in short.ended] == ["writer"]
    assert short.conditions.current == {"DiskPressure"}
    assert "The node was low on resource: ephemeral-storage. " in short.ended[0][1].message
    assert writer not in short.pods
    assert await node.lab.images.find("busybox:1") is not None
