"""The network between agents and the control plane, in memory: delays, broken connections, partitions.

A connection behaves as TCP does: messages arrive in order or not at all. In a partition they wait, unseen by both
sides, until it heals or a side gives up.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

from controlplane.nodeplane.session import LinkClosed
from nodeagent.link import LinkLost, ServerLink, StreamCall
from orch.kit.ids import Ids
from protos import node_pb2

M = TypeVar("M")

DIAL_TIMEOUT_S = 1.0
BUFFER_MESSAGES_MAX = 256

Serve = Callable[[str, Any], Awaitable[None]]
"""The control plane's side of a new connection: (node, link)."""


class Pipe(Generic[M]):
    """One direction of a connection."""

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._in_flight: deque[tuple[float, M]] = deque()
        self._last_due_s = 0.0
        self._changed = asyncio.Event()
        self.held = False
        self.broken = False

    def push(self, message: M) -> None:
        due_s = asyncio.get_running_loop().time() + self._delay_s()
        self._last_due_s = max(self._last_due_s, due_s)
        self._in_flight.append((self._last_due_s, message))
        self._changed.set()

    def full(self) -> bool:
        return len(self._in_flight) >= BUFFER_MESSAGES_MAX

    def hold(self, held: bool) -> None:
        self.held = held
        self._changed.set()

    def break_off(self) -> None:
        self.broken = True
        self._changed.set()

    async def pop(self) -> M | None:
        """The next message when it is due; None once the connection is broken."""
        while not self.broken:
            wait_s = None
            if self._in_flight and not self.held:
                wait_s = self._in_flight[0][0] - asyncio.get_running_loop().time()
                if wait_s <= 0:
                    return self._in_flight.popleft()[1]
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None


class Connection:
    """Both directions, and the two ends that agent and nodeplane hold."""

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self.up: Pipe[node_pb2.AgentMessage] = Pipe(delay_s)
        self.down: Pipe[node_pb2.ServerMessage] = Pipe(delay_s)
        self.agent_end = _AgentEnd(self)
        self.server_end = _ServerEnd(self)

    def hold(self, held: bool) -> None:
        self.up.hold(held)
        self.down.hold(held)

    def break_off(self) -> None:
        self.up.break_off()
        self.down.break_off()


class _AgentEnd:
    """Implements nodeagent.link.ServerLink."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, message: node_pb2.AgentMessage) -> None:
        if self._connection.up.broken or self._connection.up.full():
            raise LinkLost("the connection broke")
        self._connection.up.push(message)

    async def __aiter__(self) -> AsyncIterator[node_pb2.ServerMessage]:
        while (message := await self._connection.down.pop()) is not None:
            yield message

    def open_stream(self, request: node_pb2.OpenStream) -> AbstractAsyncContextManager[StreamCall]:
        raise LinkLost("the simulator carries no streams")


class _ServerEnd:
    """Implements controlplane.nodeplane.session.Link."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, message: node_pb2.ServerMessage) -> None:
        if self._connection.down.broken or self._connection.down.full():
            raise LinkClosed("the connection broke")
        self._connection.down.push(message)

    async def __aiter__(self) -> AsyncIterator[node_pb2.AgentMessage]:
        while (message := await self._connection.up.pop()) is not None:
            yield message


class Network:
    """`serve` is the present control plane's; None while it is down."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self.serve: Callable[[str, Connection], None] | None = None
        self.delay_max_s = 0.002
        self._cut: dict[str, None] = {}
        self._connections: dict[str, Connection] = {}

    def dialler(self, node: str) -> Callable[[], AbstractAsyncContextManager[ServerLink]]:
        @asynccontextmanager
        async def dial() -> AsyncIterator[ServerLink]:
            if node in self._cut:
                await asyncio.sleep(DIAL_TIMEOUT_S)
            if node in self._cut or self.serve is None:
                raise LinkLost(f"{node} cannot reach the server")
            connection = self._connections[node] = Connection(self._delay_s)
            self.serve(node, connection)
            try:
                yield connection.agent_end
            finally:
                connection.break_off()

        return dial

    def partition(self, node: str) -> None:
        self._cut[node] = None
        if node in self._connections:
            self._connections[node].hold(True)

    def heal(self, node: str) -> None:
        self._cut.pop(node, None)
        if node in self._connections:
            self._connections[node].hold(False)

    def drop(self, node: str) -> None:
        """The connection breaks; the agent may dial again at once."""
        if node in self._connections:
            self._connections[node].break_off()

    def drop_all(self) -> None:
        for node in self._connections:
            self.drop(node)

    def is_cut(self, node: str) -> bool:
        return node in self._cut

    def _delay_s(self) -> float:
        return self._ids.uniform(0.0, self.delay_max_s)
