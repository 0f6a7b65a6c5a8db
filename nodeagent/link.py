"""The agent's end of the node session: dial, say Hello, take the snapshot and deltas, tell, beat; again when it breaks.

Over any `ServerLink`: gRPC's (`grpc_link.py`) or the simulator's. Nothing on the node depends on being connected. The
connection counts as lost when the server leaves heartbeats unanswered, whatever TCP believes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from nodeagent.desired_state import Change, DesiredState, Item, Position, StaleSnapshot
from nodeagent.outbox import Outbox
from orch.errors import OrchError
from orch.kit.backoff import Backoff
from orch.kit.ids import Ids
from protos import node_pb2

log = structlog.get_logger(__name__)

RECONNECT_DELAY_MIN_S = 0.1
RECONNECT_DELAY_MAX_S = 3.0
RECONNECT_JITTER = 0.3
WELCOME_TIMEOUT_S = 15.0
"""The server may first have to fill its caches."""
SNAPSHOT_TIMEOUT_S = 60.0
"""From Welcome to the snapshot's end."""
SEND_TIMEOUT_S = 10.0
UNANSWERED_MAX_S = 3.0
WATCH_PERIOD_S = 0.5
RIPENING_S = 0.5
"""How long the outbox gathers what nobody waits for."""


class LinkLost(OrchError):
    """The connection to the server is gone or cannot be made; the message says what was tried."""


class ServerLink(Protocol):
    """A connection to the server. Iterating ends when the server ends it."""

    async def send(self, message: node_pb2.AgentMessage) -> None:
        """Waits while the connection's buffer is full. Raises LinkLost."""

    def __aiter__(self) -> AsyncIterator[node_pb2.ServerMessage]: ...

    def open_stream(self, request: node_pb2.OpenStream) -> AbstractAsyncContextManager["StreamCall"]:
        """The RPC for an exec or log stream that the server asked for. Raises LinkLost."""


class StreamCall(Protocol):
    async def read(self) -> node_pb2.StreamFrame | None:
        """None when the server has ended its side, or is gone."""

    async def write(self, frame: node_pb2.StreamFrame) -> None:
        """Raises LinkLost."""

    async def finish(self) -> None:
        """Ends this side; returns when the other side has taken everything and ended too."""


Dial = Callable[[], AbstractAsyncContextManager[ServerLink]]


class Node(Protocol):
    """Who acts on what the server says: the agent."""

    def hello(self) -> node_pb2.Hello: ...

    def desired_changed(self, changes: Sequence[Change], revision: int) -> None: ...

    def synced(self) -> None:
        """A snapshot has taken effect: what is not in it is not wanted here."""

    def open_stream(self, link: ServerLink, request: node_pb2.OpenStream) -> None: ...


class Link:
    def __init__(self, dial: Dial, node: Node, desired: DesiredState, outbox: Outbox, ids: Ids) -> None:
        self._dial, self._node, self._desired, self._outbox, self._ids = dial, node, desired, outbox, ids
        self._backoff = Backoff[str](RECONNECT_DELAY_MIN_S, RECONNECT_DELAY_MAX_S)

    async def run(self) -> None:
        """Connects, and connects again with backoff, until cancelled."""
        while True:
            try:
                async with self._dial() as link:
                    await _Session(link, self._node, self._desired, self._outbox, self._connected).run()
                reason = "the server ended the session"
            except* (LinkLost, StaleSnapshot, OSError) as errors:
                reason = "; ".join(_messages(errors))
            delay_s = self._backoff.next_s("dial") * self._ids.uniform(1 - RECONNECT_JITTER, 1 + RECONNECT_JITTER)
            log.info("session_ended", reason=reason, reconnect_in_s=round(delay_s, 2))
            await asyncio.sleep(delay_s)

    def _connected(self) -> None:
        self._backoff.forget("dial")


class _Session:
    """One connection, from Hello to its end."""

    def __init__(
        self, link: ServerLink, node: Node, desired: DesiredState, outbox: Outbox, connected: Callable[[], None]
    ) -> None:
        self._link, self._node, self._desired, self._outbox = link, node, desired, outbox
        self._connected = connected
        self._welcome = asyncio.Event()
        self._synced = asyncio.Event()
        self._heartbeat_interval_s = 0.0
        self._position = Position()
        self._heard_at = 0.0

    async def run(self) -> None:
        """Raises LinkLost, StaleSnapshot (in groups); returns when the server ends the session."""
        await self._send(node_pb2.AgentMessage(hello=self._node.hello()))
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(), name="link-read")
            others = [
                group.create_task(self._write(), name="link-write"),
                group.create_task(self._ripen(), name="link-ripen"),
                group.create_task(self._beat(), name="link-heartbeat"),
                group.create_task(self._watch(), name="link-watchdog"),
            ]
            await asyncio.wait([reader, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in (reader, *others):
                task.cancel()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async for message in self._link:
            self._heard_at = loop.time()
            self._handle(message)

    def _handle(self, message: node_pb2.ServerMessage) -> None:
        match message.WhichOneof("message"):
            case "welcome":
                self._greet(message.welcome)
            case "snapshot_begin":
                begin = message.snapshot_begin
                self._position = Position(begin.epoch, begin.revision, begin.cluster_id)
                self._desired.begin(self._position)
            case "snapshot_items":
                self._desired.stage(_items(message.snapshot_items))
            case "snapshot_end":
                self._end_snapshot(message.snapshot_end.item_count)
            case "delta":
                changes = self._desired.apply(_items(message.delta), message.delta.revision)
                self._node.desired_changed(changes, message.delta.revision)
            case "open_stream":
                self._node.open_stream(self._link, message.open_stream)
            case "heartbeat_reply":
                pass  # that it came is what counts; no pod is fenced, so its lease is nobody's
            case other:
                log.warning("message_not_understood", message=other)

    def _greet(self, welcome: node_pb2.Welcome) -> None:
        log.info("session_opened", cluster=welcome.cluster_id, epoch=welcome.epoch)
        self._heartbeat_interval_s = welcome.heartbeat_interval_ms / 1000
        self._welcome.set()

    def _end_snapshot(self, item_count: int) -> None:
        changes = self._desired.end(item_count)
        log.info("snapshot_applied", items=item_count, changes=len(changes), revision=self._position.revision)
        self._node.desired_changed(changes, self._position.revision)
        self._node.synced()
        self._connected()
        self._outbox.tell_all_again()
        self._synced.set()

    async def _write(self) -> None:
        await self._synced.wait()
        while True:
            await self._outbox.wake.wait()
            for message in self._outbox.take():
                await self._send(message)

    async def _ripen(self) -> None:
        while True:
            await self._outbox.waiting.wait()
            await asyncio.sleep(RIPENING_S)
            self._outbox.ripen()

    async def _beat(self) -> None:
        await self._welcome.wait()
        sequence = 0
        while True:
            sequence += 1
            await self._send(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat(sequence=sequence)))
            await asyncio.sleep(self._heartbeat_interval_s)

    async def _watch(self) -> None:
        """Sends nothing, so that no write that is stuck keeps it from seeing the server's silence. Raises LinkLost."""
        try:
            async with asyncio.timeout(WELCOME_TIMEOUT_S):
                await self._welcome.wait()
        except TimeoutError as error:
            raise LinkLost(f"the server did not answer Hello in {WELCOME_TIMEOUT_S:.0f} s") from error
        loop = asyncio.get_running_loop()
        welcome_at = loop.time()
        while True:
            if loop.time() - self._heard_at > UNANSWERED_MAX_S:
                raise LinkLost(f"the server left heartbeats unanswered for {UNANSWERED_MAX_S:.0f} s")
            if not self._synced.is_set() and loop.time() - welcome_at > SNAPSHOT_TIMEOUT_S:
                raise LinkLost(f"the server did not end its snapshot in {SNAPSHOT_TIMEOUT_S:.0f} s")
            await asyncio.sleep(WATCH_PERIOD_S)

    async def _send(self, message: node_pb2.AgentMessage) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._link.send(message)
        except TimeoutError as error:
            what = message.WhichOneof("message")
            raise LinkLost(f"the connection did not take a {what} message in {SEND_TIMEOUT_S:.0f} s") from error


def _messages(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _messages(error)
        else:
            yield str(error)


def _items(wire: node_pb2.Items) -> list[Item]:
    return [Item(item.kind, item.uid, item.revision, item.object) for item in wire.items]
