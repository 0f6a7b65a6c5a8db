"""The agent contains what breaks: a pod's worker, a runtime or a disk that fails while leftovers are removed."""

import json
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nodeagent import agent as agent_module
from nodeagent import orphans, pod_workers
from nodeagent.agent import Agent
from nodeagent.desired_state import Change, DesiredState, Item, Position
from nodeagent.fake_parts import FakeNetwork
from nodeagent.link import LinkLost
from nodeagent.outbox import Outbox
from nodeagent.pod_events import EndPod
from nodeagent.pod_instructions import Instruction
from nodeagent.pod_machine import PodMachine
from nodeagent.static_pods import StaticPods
from orch.api.kinds import PODS
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.pod.spec import Pod
from orch.kit.ids import SeededIds
from protos import node_pb2
from tests.node_session import running
from tests.unit.nodeagent.machine import a_pod
from tests.unit.nodeagent.test_link import settle
from tests.unit.nodeagent.test_pod_worker import Machine


class Alone:
    """An agent that never reaches its server, with pods that an earlier session brought."""

    def __init__(
        self, folder: Path, *pods: Pod, static_folder: Path | None = None, machine: Machine | None = None
    ) -> None:
        self.machine = machine or Machine(folder / "logs")
        self.desired = DesiredState(folder / "state", folder / "run")
        self.desired.load()
        self.desired.begin(Position(1, 5, "c"))
        self.desired.stage([Item("Pod", pod.metadata.uid, 5, PODS.codec.encode(pod)) for pod in pods])
        self.desired.end(len(pods))
        self.refused: EndPod | None = None
        self.described: list[str] = []
        """Why the node was not ready, each time that somebody asked."""
        self.agent = Agent(
            node_name="node-1",
            boot_id="boot",
            version="test",
            dial=unreachable,
            desired=self.desired,
            outbox=Outbox("node-1", self.desired, self.machine.clock),
            parts=self.machine.parts,
            network=FakeNetwork(lambda revision: None),
            describe=self._describe,
            ids=SeededIds(1),
            static_pods=StaticPods(static_folder, "node-1"),
            refuse=lambda pod: self.refused,
        )

    def _describe(self, not_ready: str) -> Node:
        self.described.append(not_ready)
        return Node(metadata=ObjectMeta(name="node-1"))


@asynccontextmanager
async def unreachable() -> Any:
    raise LinkLost("no server")
    yield


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_workers, "WORKER_DELAY_MIN_S", 0.01)


async def test_a_pod_whose_machine_breaks_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. `bad` breaks on every event, `web` runs 2. `bad` is told about 3. once the cause is gone, `bad` runs too."""
    bad = a_pod(meta={"name": "bad", "uid": "bad-uid"})
    alone = Alone(tmp_path, bad, a_pod())
    handle = PodMachine.handle

    def breaks(self: PodMachine, event: Any, now: datetime) -> list[Instruction]:
        if self.pod.metadata.name == "bad":
            raise ValueError("nobody thought of this")
        return handle(self, event, now)

    monkeypatch.setattr(PodMachine, "handle", breaks)
    async with running(alone.agent.run()):
        await settle(lambda: alone.machine.told.events.count("FailedSync") >= 2)
        await settle(lambda: alone.machine.runtime.running("web-uid") == ["app"])
        monkeypatch.setattr(PodMachine, "handle", handle)
        await settle(lambda: alone.machine.runtime.running("bad-uid") == ["app"])


async def test_leftovers_that_cannot_be_removed_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. neither can be listed, 2. nor removed 3. another snapshot comes: still one task 4. gone in the end."""
    monkeypatch.setattr(orphans, "DELAY_MIN_S", 0.01)
    alone = Alone(tmp_path)
    await alone.machine.volumes.prepare(a_pod(meta={"uid": "orphan-uid"}))
    failures = {"known": 2, "remove": 2}

    def failing(verb: str) -> Any:
        original = getattr(alone.machine.volumes, verb)

        async def call(*arguments: Any) -> Any:
            failures[verb] -= 1
            if failures[verb] >= 0:
                raise OSError(5, "Input/output error")
            return await original(*arguments)

        return call

    for verb in failures:
        monkeypatch.setattr(alone.machine.volumes, verb, failing(verb))
    async with running(alone.agent.run()):
        await settle(lambda: hasattr(alone.agent, "_group"))
        alone.agent.synced()
        alone.agent.synced()
        await settle(lambda: not alone.machine.volumes.prepared)
    assert failures == {"known": -3, "remove": -1}


async def test_nothing_starts_before_it_is_known_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Alone(tmp_path, a_pod())
    runtime, asked = alone.machine.runtime, []
    listed = runtime.list_containers

    async def failing() -> Any:
        asked.append(list(runtime.calls))
        if len(asked) < 3:
            raise OSError(5, "Input/output error")
        return await listed()

    monkeypatch.setattr(runtime, "list_containers", failing)
    async with running(alone.agent.run()):
        await settle(lambda: runtime.running("web-uid") == ["app"])
    assert asked == [[], [], []]


async def test_a_worker_that_was_well_for_a_while_begins_its_back_off_anew(tmp_path: Path) -> None:
    alone = Alone(tmp_path)
    moments = iter([0.0, 1.0, 0.0, pod_workers.WORKER_DELAY_MAX_S + 1])
    alone.machine.clock.monotonic = lambda: next(moments)  # type: ignore[method-assign]

    async def breaks() -> None:
        raise ValueError("nobody thought of this")

    backoff = alone.agent.workers._backoff
    backoff.next_s("web-uid")
    assert not await alone.agent.workers._came_to_its_end(a_pod(), breaks)
    assert len(backoff) == 1
    assert not await alone.agent.workers._came_to_its_end(a_pod(), breaks)
    assert len(backoff) == 0


async def test_a_pod_that_the_node_refuses_fails_and_one_that_it_ends_was_disrupted(tmp_path: Path) -> None:
    """1. `web` runs 2. the node is under pressure: `late` comes and is refused 3. `web` is evicted 4. its containers
    are taken away, for the sake of the disk."""
    alone = Alone(tmp_path, a_pod())
    runtime, told = alone.machine.runtime, alone.machine.told
    async with running(alone.agent.run()):
        await settle(lambda: runtime.running("web-uid") == ["app"])
        alone.refused = EndPod("Evicted", "The node had condition: [DiskPressure]. ", 0.0, disrupts=False)
        late = a_pod(meta={"name": "late", "uid": "late-uid"})
        alone.agent.desired_changed([Change("Pod", None, late)], 6)
        await settle(lambda: told.status.reason == "Evicted")
        assert (told.status.phase, told.status.message) == ("Failed", "The node had condition: [DiskPressure]. ")
        assert "DisruptionTarget" not in {condition.type for condition in told.status.conditions or ()}
        assert runtime.configs("late-uid") == []
        assert [pod.metadata.name for pod, _ in alone.agent.workers.active_pods()] == ["web"]
        await alone.agent.workers.end_pod(
            "web-uid", EndPod("Evicted", "The node was low on resource: memory. ", 1.0), 10.0
        )
        await settle(lambda: told.status.phase == "Failed" and told.status.message.startswith("The node was low"))
        [target] = [c for c in told.status.conditions or () if c.type == "DisruptionTarget"]
        assert (target.status, target.reason) == ("True", "TerminationByKubelet")
        assert told.events.count("Evicted") == 2
        await alone.agent.workers.remove_dead_containers()
        assert await runtime.list_containers() == []


class Server:
    """A link and the streams that the agent opens on it. Implements link.ServerLink and link.StreamCall."""

    def __init__(self) -> None:
        self.frames: list[node_pb2.StreamFrame] = []
        self.finished = 0

    @asynccontextmanager
    async def open_stream(self, request: node_pb2.OpenStream) -> Any:
        yield self

    async def write(self, frame: node_pb2.StreamFrame) -> None:
        self.frames.append(frame)

    async def finish(self) -> None:
        self.finished += 1


async def test_the_user_of_a_stream_too_many_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "STREAMS_MAX", 0)
    alone, server = Alone(tmp_path), Server()
    async with running(alone.agent.run()):
        await settle(lambda: hasattr(alone.agent, "_group"))
        alone.agent.open_stream(server, node_pb2.OpenStream())  # type: ignore[arg-type]
        await settle(lambda: server.finished == 1)
    [frame] = server.frames
    assert json.loads(frame.refused)["reason"] == "TooManyRequests"
