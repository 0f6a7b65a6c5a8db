"""The agent's end of the session over a link in memory: refusals, silence, what is told when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodeagent import link as link_module
from nodeagent.desired_state import Change, DesiredState, Position
from nodeagent.link import Link, LinkLost, ServerLink
from nodeagent.outbox import Outbox
from nodeagent.pod_instructions import ReportStatus
from orch.api.kinds import PODS
from orch.api.pod.status import PodStatus
from orch.kit.clock import SystemClock
from orch.kit.ids import SeededIds
from protos import node_pb2
from tests.unit.nodeagent.machine import a_pod


class MemoryLink:
    """One connection, seen from the server's side by the test."""

    def __init__(self) -> None:
        self.told: list[node_pb2.AgentMessage] = []
        self.stuck_on: tuple[str, ...] = ()
        """Messages whose writing never ends."""
        self.inbox: asyncio.Queue[node_pb2.ServerMessage | None] = asyncio.Queue()

    async def send(self, message: node_pb2.AgentMessage) -> None:
        self.told.append(message)
        if message.WhichOneof("message") in self.stuck_on:
            await asyncio.Event().wait()

    async def __aiter__(self) -> AsyncIterator[node_pb2.ServerMessage]:
        while (message := await self.inbox.get()) is not None:
            yield message

    def open_stream(self, request: node_pb2.OpenStream) -> object:
        raise LinkLost("no streams here")

    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("message") for message in self.told]

    def welcome(self, interval_ms: int = 10) -> None:
        welcome = node_pb2.Welcome(cluster_id="c", epoch=1, heartbeat_interval_ms=interval_ms)
        self.inbox.put_nowait(node_pb2.ServerMessage(welcome=welcome))

    def snapshot(self, *items: node_pb2.Item, revision: int = 5) -> None:
        begin = node_pb2.SnapshotBegin(cluster_id="c", epoch=1, revision=revision)
        self.inbox.put_nowait(node_pb2.ServerMessage(snapshot_begin=begin))
        self.inbox.put_nowait(node_pb2.ServerMessage(snapshot_items=node_pb2.Items(items=items)))
        end = node_pb2.SnapshotEnd(item_count=len(items))
        self.inbox.put_nowait(node_pb2.ServerMessage(snapshot_end=end))


class World:
    """Implements link.Node; every dial makes a new connection."""

    def __init__(self, folder: Path) -> None:
        self.desired = DesiredState(folder, folder / "run")
        self.desired.load()
        self.outbox = Outbox("node-1", self.desired, SystemClock())
        self.links: list[MemoryLink] = []
        self.stuck_on: tuple[str, ...] = ()
        self.changes: list[Change] = []
        self.syncs = 0
        self.link = Link(self.dial, self, self.desired, self.outbox, SeededIds(1))

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[ServerLink]:
        self.links.append(MemoryLink())
        self.links[-1].stuck_on = self.stuck_on
        yield self.links[-1]  # type: ignore[misc]

    def hello(self) -> node_pb2.Hello:
        return node_pb2.Hello(agent_version="test")

    def desired_changed(self, changes: Sequence[Change], revision: int) -> None:
        self.changes += changes

    def synced(self) -> None:
        self.syncs += 1

    def open_stream(self, link: ServerLink, request: node_pb2.OpenStream) -> None:
        raise AssertionError("no test asks for a stream")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[MemoryLink]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.link.run())
        await settle(lambda: bool(world.links and world.links[0].told))
        yield world.links[0]
        task.cancel()


async def settle(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


def an_item(revision: int = 3) -> node_pb2.Item:
    pod = a_pod(meta={"resource_version": str(revision)})
    return node_pb2.Item(kind="Pod", uid="web-uid", revision=revision, object=PODS.codec.encode(pod))


async def test_the_agent_speaks_first_and_beats_once_it_is_welcome(world: World) -> None:
    async with connected(world) as link:
        assert link.kinds() == ["hello"]
        link.welcome()
        await settle(lambda: link.kinds().count("heartbeat") >= 2)
        assert [m.heartbeat.sequence for m in link.told if m.WhichOneof("message") == "heartbeat"][:2] == [1, 2]


async def test_statuses_are_told_after_the_snapshot_and_all_of_them(world: World) -> None:
    world.outbox.pod_status(a_pod(), ReportStatus(PodStatus(phase="Running")))
    async with connected(world) as link:
        link.welcome()
        await asyncio.sleep(0.03)
        assert "pod_statuses" not in link.kinds()
        link.snapshot(an_item())
        await settle(lambda: "pod_statuses" in link.kinds())
    assert world.syncs == 1
    assert [change.new.metadata.name for change in world.changes if change.new] == ["web"]


async def test_a_server_that_is_behind_is_refused_and_asked_again(world: World) -> None:
    world.desired.position = Position(1, 50, "c")
    async with connected(world) as link:
        link.welcome()
        link.snapshot(an_item(), revision=49)
        await settle(lambda: len(world.links) == 2)
    assert world.changes == []


async def test_a_server_that_leaves_heartbeats_unanswered_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "UNANSWERED_MAX_S", 0.05)
    async with connected(world) as link:
        link.welcome()
        await settle(lambda: len(world.links) >= 2)


async def test_a_server_that_does_not_welcome_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "WELCOME_TIMEOUT_S", 0.05)
    async with connected(world):
        await settle(lambda: len(world.links) >= 2)


async def test_a_session_that_the_server_ends_is_dialled_again(world: World) -> None:
    async with connected(world) as link:
        link.inbox.put_nowait(None)
        await settle(lambda: len(world.links) >= 2)


@pytest.mark.parametrize(
    ("stuck_on", "limit"),
    [("hello", "SEND_TIMEOUT_S"), ("heartbeat", "SEND_TIMEOUT_S"), ("heartbeat", "UNANSWERED_MAX_S")],
)
async def test_a_write_that_is_stuck_ends_the_session(
    world: World, monkeypatch: pytest.MonkeyPatch, stuck_on: str, limit: str
) -> None:
    monkeypatch.setattr(link_module, "WATCH_PERIOD_S", 0.02)
    monkeypatch.setattr(link_module, limit, 0.05)
    world.stuck_on = (stuck_on,)
    async with connected(world) as link:
        link.welcome()
        await settle(lambda: len(world.links) >= 2)


async def test_a_snapshot_without_end_ends_the_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "WATCH_PERIOD_S", 0.02)
    monkeypatch.setattr(link_module, "SNAPSHOT_TIMEOUT_S", 0.05)
    async with connected(world) as link:
        link.welcome()
        await settle(lambda: len(world.links) >= 2)


async def test_a_fault_of_the_machine_ends_the_session_and_not_the_agent(world: World) -> None:
    failures = [OSError(24, "Too many open files")]

    @asynccontextmanager
    async def dial() -> AsyncIterator[ServerLink]:
        if failures:
            raise failures.pop()
        async with world.dial() as link:
            yield link

    link = Link(dial, world, world.desired, world.outbox, SeededIds(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.run())
        await settle(lambda: bool(world.links and world.links[0].told))
        task.cancel()
