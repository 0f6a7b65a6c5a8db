"""The pod worker with a fake runtime: steps, failures, and a crash of the agent between every two steps."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.container_state import exit_event
from nodeagent.fake_parts import FakeProbes, FakeVolumes
from nodeagent.pod_events import Adopted, PodRemoved, ProbeKind
from nodeagent.pod_instructions import EmitEvent, ReportStatus
from nodeagent.pod_machine import PodMachine
from nodeagent.pod_parts import PodParts
from nodeagent.pod_worker import PodWorker
from nodeagent.runtime.fake import FakeRuntime, Program
from nodeagent.runtime.fake_images import FakeImages
from nodeagent.runtime.interface import ContainerConfig, RuntimeFault
from orch.api.pod.container import Probe, TCPSocketAction
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.kit.clock import SystemClock
from tests.unit.nodeagent.machine import HOST_IP, a_container, a_pod
from tests.unit.nodeagent.test_environment import Objects

WAIT_S = 5.0


class Told:
    """Implements Reports."""

    def __init__(self) -> None:
        self.status = PodStatus()
        self.stopped = False
        self.events: list[str] = []
        self._changed = asyncio.Event()

    def pod_status(self, pod: Pod, report: ReportStatus) -> None:
        self.status, self.stopped = report.status, report.stopped
        self._changed.set()

    def event(self, pod: Pod, event: EmitEvent) -> None:
        self.events.append(event.reason)
        self._changed.set()

    async def until(self, holds: Callable[["Told"], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds(self):
                await self._changed.wait()
                self._changed.clear()


class Machine:
    """A node on which agents come and go."""

    def __init__(self, folder: Path, program: Program | None = None) -> None:
        self.clock = SystemClock()
        self.runtime = FakeRuntime(self.clock, lambda config: program or Program())
        self.images, self.volumes, self.probes, self.told = FakeImages(), FakeVolumes(), FakeProbes(), Told()
        self.parts = PodParts(
            runtime=self.runtime,
            images=self.images,
            volumes=self.volumes,
            probes=self.probes,
            inputs=Objects(),
            reports=self.told,
            clock=self.clock,
            node=NodeFacts("node-1", HOST_IP, {}, 1 << 30),
            allocations=Allocations({"cpu": "2", "memory": "1Gi"}, folder / "state"),
            pod_logs=folder / "logs",
        )

    async def worker(self, pod: Pod) -> PodWorker:
        """With what the runtime holds of the pod, as after a start of the agent."""
        worker = PodWorker(PodMachine(pod, self.told.status, HOST_IP), self.parts)
        sandboxes = [s for s in await self.runtime.list_pod_sandboxes() if s.pod_uid == pod.metadata.uid]
        worker.post(Adopted(sandboxes[0] if sandboxes else None, tuple(await self.runtime.list_containers())))
        return worker

    async def feed_exits(self, worker: PodWorker) -> None:
        async for exited in self.runtime.exits():
            worker.post(exit_event(await self.runtime.container_status(exited.container_id), self.clock.now()))


@pytest.fixture
def node(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def run_until(node: Machine, worker: PodWorker, holds: Callable[[Told], bool]) -> None:
    """The agent runs until then, and is killed."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker.run()), group.create_task(node.feed_exits(worker))]
        await node.told.until(holds)
        for task in tasks:
            task.cancel()


async def test_a_pod_comes_up_and_goes(node: Machine) -> None:
    worker = await node.worker(a_pod())
    await run_until(node, worker, lambda told: told.status.phase == "Running")
    worker = await node.worker(a_pod())
    worker.post(PodRemoved())
    await asyncio.wait_for(worker.run(), WAIT_S)
    assert node.told.stopped
    assert not await node.runtime.list_containers()
    assert not node.volumes.prepared
    assert not list(node.parts.pod_logs.iterdir())


async def test_events_tell_what_happened(node: Machine) -> None:
    await run_until(node, await node.worker(a_pod()), lambda told: told.status.phase == "Running")
    assert node.told.events == ["Pulling", "Pulled", "Created", "Started"]


async def test_the_image_stays_while_a_container_is_made_from_it(
    node: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, create = list[str](), node.runtime.create_container

    async def noting(config: ContainerConfig) -> str:
        held.extend(node.images.held)
        return await create(config)

    monkeypatch.setattr(node.runtime, "create_container", noting)
    await run_until(node, await node.worker(a_pod()), lambda told: told.status.phase == "Running")
    assert (held, node.images.held) == (["fake:docker.io/library/app:1"], [])


@pytest.mark.parametrize("policy", ["IfNotPresent", "Always", "Never"])
async def test_pull_policies(node: Machine, policy: str) -> None:
    await node.images.pull("app:1")
    pod = a_pod(a_container(image_pull_policy=policy))
    await run_until(node, await node.worker(pod), lambda told: told.status.phase == "Running")
    assert len(node.images.pulls) == (2 if policy == "Always" else 1)


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [
        ("app:1", "Never", "ErrImageNeverPull"),
        ("not a name", "IfNotPresent", "InvalidImageName"),
        ("gone:1", "IfNotPresent", "ErrImagePull"),
    ],
)
async def test_images_that_cannot_be_had(node: Machine, image: str, policy: str, reason: str) -> None:
    node.images.missing["gone:1"] = "no such manifest"

    def waits(told: Told) -> bool:
        state = told.status.container_statuses[0].state if told.status.container_statuses else None
        return state is not None and state.waiting is not None and state.waiting.reason == reason

    pod = a_pod(a_container(image=image, image_pull_policy=policy))
    await run_until(node, await node.worker(pod), waits)


@pytest.mark.parametrize("verb", ["run_pod_sandbox", "create_container", "start_container"])
async def test_a_fault_of_the_runtime_is_told_and_overcome(node: Machine, verb: str) -> None:
    node.runtime.faults[verb] = RuntimeFault("no space left on device")
    worker = await node.worker(a_pod())
    failed = {"run_pod_sandbox": "FailedCreatePodSandBox"}.get(verb, "Failed")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(worker.run())
        await node.told.until(lambda told: failed in told.events)
        node.runtime.faults.clear()
        await node.told.until(lambda told: told.status.phase == "Running")
        task.cancel()


async def test_a_fault_of_the_program_is_contained(node: Machine) -> None:
    """A step that breaks in a way nobody thought of becomes the machine's failure, not the agent's."""
    node.volumes.prepare = None  # type: ignore[method-assign, assignment]
    await run_until(node, await node.worker(a_pod()), lambda told: "FailedMount" in told.events)


async def test_a_failed_liveness_probe_restarts(node: Machine) -> None:
    pod = a_pod(a_container(liveness_probe=Probe(tcp_socket=TCPSocketAction(port=1))))
    worker = await node.worker(pod)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker.run()), group.create_task(node.feed_exits(worker))]
        await node.told.until(lambda told: told.status.phase == "Running")
        node.probes.tell("web-uid", "app", ProbeKind.LIVENESS, False)
        await node.told.until(lambda told: told.status.container_statuses[0].restart_count == 1)
        for task in tasks:
            task.cancel()


STEPS_OF_A_START = 4
"""run_pod_sandbox, create_container, start_container, and what comes after."""


@pytest.mark.parametrize("crash_after", range(STEPS_OF_A_START))
async def test_a_crash_between_two_steps_of_a_start_changes_nothing(node: Machine, crash_after: int) -> None:
    """1. the agent dies after that many verbs 2. another takes over 3. the pod runs once, with no restart."""
    worker = await node.worker(a_pod())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(worker.run())
        for _ in range(1000):
            if len(node.runtime.calls) >= crash_after:
                break
            await asyncio.sleep(0)
        task.cancel()
    await run_until(node, await node.worker(a_pod()), lambda told: told.status.phase == "Running")
    assert node.runtime.running("web-uid") == ["app"]
    assert len(await node.runtime.list_containers()) == 1
    assert node.told.status.container_statuses[0].restart_count == 0


STEPS_OF_AN_END = 4


@pytest.mark.parametrize("crash_after", range(STEPS_OF_AN_END))
async def test_a_crash_between_two_steps_of_an_end_leaves_nothing(node: Machine, crash_after: int) -> None:
    await run_until(node, await node.worker(a_pod()), lambda told: told.status.phase == "Running")
    begin = len(node.runtime.calls)
    worker = await node.worker(a_pod())
    worker.post(PodRemoved())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(worker.run())
        for _ in range(1000):
            if len(node.runtime.calls) - begin >= crash_after:
                break
            await asyncio.sleep(0)
        task.cancel()
    worker = await node.worker(a_pod())
    worker.post(PodRemoved())
    await asyncio.wait_for(worker.run(), WAIT_S)
    assert not await node.runtime.list_containers()
    assert not await node.runtime.list_pod_sandboxes()
