"""One session over a link in memory: order of what is sent, coalescing, bounds, its end."""

import asyncio

import pytest

from controlplane.nodeplane.node_set import Item
from controlplane.nodeplane.session import MESSAGE_BYTES_MAX, OPEN_STREAMS_WAITING_MAX, Session, batches
from orch.errors import ServiceUnavailable
from protos import node_pb2
from tests.unit.controlplane.nodeplane.world import MemoryLink

WELCOME = node_pb2.Welcome(cluster_id="c", epoch=3, heartbeat_interval_ms=500)


class Heard:
    """Implements Inbound."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def heartbeat(self, node: str) -> None:
        self.calls.append(("heartbeat", node))

    def pod_status(self, node: str, report: node_pb2.PodStatus) -> None:
        self.calls.append(("pod_status", node, report.uid))

    def event(self, node: str, event: bytes) -> None:
        self.calls.append(("event", node, event))

    def node_status(self, node: str, status: bytes) -> None:
        self.calls.append(("node_status", node, status))

    def usage(self, node: str, usage: node_pb2.Usage) -> None:
        self.calls.append(("usage", node))

    def static_pods(self, node: str, pods: node_pb2.StaticPods) -> None:
        self.calls.append(("static_pods", node, len(pods.pods)))


def item(uid: str, revision: int = 1, data: bytes = b"{}") -> Item:
    return Item("Pod", uid, revision, data)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def link() -> MemoryLink:
    return MemoryLink()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def session(link: MemoryLink, heard: Heard) -> Session:
    return Session("n1", link, heard, lease_ms=0)


async def test_welcome_snapshot_and_then_deltas(link: MemoryLink, session: Session) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(session.run(WELCOME, [item("a"), item("b")], 7))
        session.deliver(item("c", 8), 8)
        await turns()
        assert link.kinds() == ["welcome", "snapshot_begin", "snapshot_items", "snapshot_end", "delta"]
        begin = link.sent[1].snapshot_begin
        assert (begin.cluster_id, begin.epoch, begin.revision) == ("c", 3, 7)
        assert link.sent[3].snapshot_end.item_count == 2
        assert (link.sent[4].delta.revision, [i.uid for i in link.sent[4].delta.items]) == (8, ["c"])
        session.close()


async def test_what_waits_for_the_link_is_sent_at_once_and_only_its_newest_state(
    link: MemoryLink, session: Session
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(session.run(WELCOME, [], 1))
        await turns()
        for revision in range(2, 9):
            session.deliver(item("a", revision), revision)
            session.deliver(item("b", revision, b""), revision)
        await turns()
        (delta,) = [message.delta for message in link.sent if message.WhichOneof("message") == "delta"]
        assert [(i.uid, i.revision, i.object) for i in delta.items] == [("a", 8, b"{}"), ("b", 8, b"")]
        session.close()


async def test_what_the_agent_says_reaches_its_place(link: MemoryLink, session: Session, heard: Heard) -> None:
    said = [
        node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat(sequence=4)),
        node_pb2.AgentMessage(pod_statuses=node_pb2.PodStatuses(reports=[node_pb2.PodStatus(uid="a")])),
        node_pb2.AgentMessage(events=node_pb2.Events(events=[b"e"])),
        node_pb2.AgentMessage(node_status=node_pb2.NodeStatus(node=b"n")),
        node_pb2.AgentMessage(network_applied=node_pb2.NetworkApplied(revision=9)),
    ]
    for message in said:
        link.inbox.put_nowait(message)
    link.inbox.put_nowait(None)
    await session.run(WELCOME, [], 1)
    assert [call for call in heard.calls if call[0] != "heartbeat"] == [
        ("pod_status", "n1", "a"),
        ("event", "n1", b"e"),
        ("node_status", "n1", b"n"),
    ]
    assert len(heard.calls) == 8  # each message is a sign of life


async def test_a_heartbeat_is_answered_with_its_sequence(link: MemoryLink, session: Session) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(session.run(WELCOME, [], 1))
        await turns()
        link.inbox.put_nowait(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat(sequence=4)))
        await turns()
        assert link.sent[-1].heartbeat_reply.sequence == 4
        session.close()


async def test_the_session_ends_with_the_link(link: MemoryLink, session: Session) -> None:
    link.broken = True
    await asyncio.wait_for(session.run(WELCOME, [], 1), 1)


async def test_too_many_streams_waiting_for_a_slow_node_are_refused(session: Session) -> None:
    for _ in range(OPEN_STREAMS_WAITING_MAX):
        session.open_stream(node_pb2.OpenStream(token="t"))
    with pytest.raises(ServiceUnavailable, match="too slow"):
        session.open_stream(node_pb2.OpenStream(token="t"))


def test_messages_are_bounded_and_a_large_object_travels_alone() -> None:
    large, small = item("large", data=b"x" * (MESSAGE_BYTES_MAX + 1)), item("small")
    assert [[i.uid for i in batch] for batch in batches([small, large, small, small])] == [
        ["small"],
        ["large"],
        ["small", "small"],
    ]
