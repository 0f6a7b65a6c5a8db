"""One session with one agent, over any `Link`: gRPC's or the simulator's. The messages of protos/node.proto, no more.

The agent speaks first (Hello); then Welcome, a snapshot, and deltas from that very moment on: the snapshot is taken
and the session subscribed within one turn of the event loop, so that no change falls between. What waits for a slow
link is bounded: deltas by the number of objects (the newest state per object), everything else by count.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import structlog

from controlplane.nodeplane.node_set import Item
from orch.errors import BadRequest, OrchError, ServiceUnavailable
from protos import node_pb2

log = structlog.get_logger(__name__)

T = TypeVar("T")

MESSAGE_BYTES_MAX = 512 * 1024
"""Items of one message are cut off here; one object larger than that still travels, alone."""
OPEN_STREAMS_WAITING_MAX = 256


class LinkClosed(OrchError):
    """The other side, or the connection to it, is gone."""


class Link(Protocol):
    """A connection to one agent. Iterating ends when the agent ends it; iterating anew goes on where it stopped."""

    async def send(self, message: node_pb2.ServerMessage) -> None:
        """Waits while the connection's buffer is full. Raises LinkClosed."""

    def __aiter__(self) -> AsyncIterator[node_pb2.AgentMessage]: ...


class Inbound(Protocol):
    """Who gets what an agent says. What cannot be read is refused with BadRequest."""

    def heartbeat(self, node: str) -> None: ...

    def pod_status(self, node: str, report: node_pb2.PodStatus) -> None: ...

    def event(self, node: str, event: bytes) -> None: ...

    def node_status(self, node: str, status: bytes) -> None: ...

    def usage(self, node: str, usage: node_pb2.Usage) -> None: ...

    def static_pods(self, node: str, pods: node_pb2.StaticPods) -> None: ...

    def volume(self, node: str, report: node_pb2.VolumeReport) -> None: ...


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items in messages of a bounded size."""
    batch: list[Item] = []
    size = 0
    for item in items:
        if batch and size + len(item.data) > MESSAGE_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.data)
    if batch:
        yield batch


def to_wire(batch: list[Item], revision: int = 0) -> node_pb2.Items:
    items = [node_pb2.Item(kind=i.kind, uid=i.uid, revision=i.revision, object=i.data) for i in batch]
    return node_pb2.Items(items=items, revision=revision)


class Session:
    def __init__(self, node: str, link: Link, inbound: Inbound, *, lease_ms: int) -> None:
        self.node = node
        self._link, self._inbound, self._lease_ms = link, inbound, lease_ms
        self._pending: dict[tuple[str, str], Item] = {}
        self._revision = 0
        self._streams: list[node_pb2.OpenStream] = []
        self._heartbeat = 0
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()

    def deliver(self, item: Item, revision: int) -> None:
        """Sent with everything else that is pending when the link takes it; the newest state of an object counts."""
        self._pending.pop((item.kind, item.uid), None)
        self._pending[item.kind, item.uid] = item
        self._revision = revision
        self._wake.set()

    def open_stream(self, request: node_pb2.OpenStream) -> None:
        """Raises ServiceUnavailable when too many requests wait for the agent."""
        if len(self._streams) >= OPEN_STREAMS_WAITING_MAX:
            raise ServiceUnavailable(f"node {self.node!r} is too slow: {len(self._streams)} requests wait for it")
        self._streams.append(request)
        self._wake.set()

    def close(self) -> None:
        """Ends `run`: the agent came back on another connection, or its Node object is gone."""
        self._closed.set()

    async def run(self, welcome: node_pb2.Welcome, snapshot: list[Item], revision: int) -> None:
        """Returns when either side ends the session."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._read(), name=f"session-read-{self.node}"),
                    group.create_task(self._write(welcome, snapshot, revision), name=f"session-write-{self.node}"),
                    group.create_task(self._closed.wait(), name=f"session-closed-{self.node}"),
                ]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        except* LinkClosed as closed:
            log.info("session_lost", node=self.node, error=str(closed.exceptions[0]))

    async def _read(self) -> None:
        async for message in self._link:
            self._handle(message)

    def _handle(self, message: node_pb2.AgentMessage) -> None:
        self._inbound.heartbeat(self.node)  # whatever it says, it is alive
        match message.WhichOneof("message"):
            case "heartbeat":
                self._heartbeat = message.heartbeat.sequence
                self._wake.set()
            case "pod_statuses":
                for report in message.pod_statuses.reports:
                    self._tell(self._inbound.pod_status, report)
            case "events":
                for event in message.events.events:
                    self._tell(self._inbound.event, event)
            case "node_status":
                self._tell(self._inbound.node_status, message.node_status.node)
            case "usage":
                self._inbound.usage(self.node, message.usage)
            case "static_pods":
                self._tell(self._inbound.static_pods, message.static_pods)
            case "volumes":
                for volume in message.volumes.reports:
                    self._tell(self._inbound.volume, volume)
            case "network_applied":
                log.debug("network_applied", node=self.node, revision=message.network_applied.revision)
            case other:
                log.warning("message_not_understood", node=self.node, message=other)

    def _tell(self, inbound: Callable[[str, T], None], said: T) -> None:
        """What cannot be read is dropped alone: the node's other reports still count."""
        try:
            inbound(self.node, said)
        except BadRequest as error:
            log.warning("report_refused", node=self.node, report=inbound.__name__, error=str(error))

    async def _write(self, welcome: node_pb2.Welcome, snapshot: list[Item], revision: int) -> None:
        await self._link.send(node_pb2.ServerMessage(welcome=welcome))
        await self._send_snapshot(welcome, snapshot, revision)
        while True:
            await self._wake.wait()
            self._wake.clear()
            for message in self._take():
                await self._link.send(message)

    async def _send_snapshot(self, welcome: node_pb2.Welcome, snapshot: list[Item], revision: int) -> None:
        begin = node_pb2.SnapshotBegin(cluster_id=welcome.cluster_id, epoch=welcome.epoch, revision=revision)
        await self._link.send(node_pb2.ServerMessage(snapshot_begin=begin))
        for batch in batches(snapshot):
            await self._link.send(node_pb2.ServerMessage(snapshot_items=to_wire(batch)))
        end = node_pb2.SnapshotEnd(item_count=len(snapshot))
        await self._link.send(node_pb2.ServerMessage(snapshot_end=end))

    def _take(self) -> list[node_pb2.ServerMessage]:
        """All that is pending; the heartbeat's reply first, since a node's life may hang on it."""
        messages = []
        if self._heartbeat:
            reply = node_pb2.HeartbeatReply(sequence=self._heartbeat, lease_ms=self._lease_ms)
            messages.append(node_pb2.ServerMessage(heartbeat_reply=reply))
            self._heartbeat = 0
        messages += [node_pb2.ServerMessage(open_stream=request) for request in self._streams]
        self._streams.clear()
        pending, self._pending = self._pending, {}
        for batch in batches(pending.values()):
            messages.append(node_pb2.ServerMessage(delta=to_wire(batch, self._revision)))
        return messages
