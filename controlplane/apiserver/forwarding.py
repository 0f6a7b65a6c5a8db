"""One forwarded connection, whatever protocol its client speaks: bytes from the client, a port of a pod, bytes back.

A connection ends when the pod ends its direction, as kubelet's does; a client that ends its own first still gets the
answer. What waits for a slow pod is bounded; nothing waits for a slow client but the pod.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from controlplane.apiserver.pods import PodTarget
from controlplane.apiserver.port_numbers import port_of
from controlplane.apiserver.streams import NodeStreams, PortForwardRequest, PortStream
from orch.errors import ApiError, BadRequest

INLET_MAX_BYTES = 256 * 1024
SESSION_MAX_BYTES = 4 * 1024 * 1024
"""In all inlets of a session together, which may have a thousand of them."""
STALL_MAX_S = 300.0
"""A connection whose pod takes nothing for so long, with a full inlet, is broken: it holds up all others of its
session, since the client's protocols know no flow control of single connections."""

Send = Callable[[bytes], Awaitable[None]]


class Room:
    """What the inlets of one session may hold together, and one message more. One task waits for it at a time: the one
    that reads what the client sends."""

    def __init__(self, max_bytes: int = SESSION_MAX_BYTES) -> None:
        self._free = max_bytes
        self._given = asyncio.Event()
        self._holders: dict[Inlet, None] = {}
        """First who has given nothing back for longest."""

    @property
    def is_full(self) -> bool:
        return self._free <= 0

    def take(self, inlet: "Inlet", count: int) -> None:
        self._free -= count
        self._holders.setdefault(inlet)

    def give(self, inlet: "Inlet", count: int, left: int) -> None:
        """`left`: what the inlet holds now."""
        self._free += count
        self._holders.pop(inlet, None)
        if left:
            self._holders[inlet] = None
        self._given.set()

    async def wait(self) -> None:
        """Until somebody gave something back; after `STALL_MAX_S` whoever has not for longest is closed, and does."""
        self._given.clear()
        try:
            async with asyncio.timeout(STALL_MAX_S):
                await self._given.wait()
        except TimeoutError:
            await next(iter(self._holders)).close()


class Inlet:
    """Bytes on their way from the client to the pod, at most `INLET_MAX_BYTES` and one message."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._ended = self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, data: bytes) -> None:
        """Waits while the inlet or its session is full; an inlet that stays so for `STALL_MAX_S` closes. A closed inlet
        drops what it gets."""
        try:
            async with asyncio.timeout(STALL_MAX_S), self._changed:
                await self._changed.wait_for(lambda: self._closed or self._bytes < INLET_MAX_BYTES)
        except TimeoutError:
            await self.close()
        while self._room.is_full and not self._closed:
            await self._room.wait()
        async with self._changed:
            if not self._closed:
                self._waiting.append(data)
                self._bytes += len(data)
                self._room.take(self, len(data))
            self._changed.notify_all()

    def _release(self, count: int) -> None:
        self._bytes -= count
        self._room.give(self, count, self._bytes)

    async def end(self) -> None:
        """The client sends nothing more."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def close(self) -> None:
        """Nobody wants what is here, or what may come."""
        async with self._changed:
            self._closed = True
            self._waiting.clear()
            self._release(self._bytes)
            self._changed.notify_all()

    async def take(self) -> bytes | None:
        """b"" at the client's end, None when closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended or self._closed)
            if self._closed:
                return None
            data = self._waiting.popleft() if self._waiting else b""
            self._release(len(data))
            self._changed.notify_all()
            return data


class Forwarder:
    """Opens connections to the ports of one pod."""

    def __init__(self, streams: NodeStreams, target: PodTarget) -> None:
        self._streams = streams
        self._target = target

    async def carry(self, port: int, inlet: Inlet, send: Send) -> str:
        """Returns when the connection is over: what went wrong, in kubelet's words, or "". Raises what `send` does."""
        target = self._target
        request = PortForwardRequest(target.pod_uid, target.namespace, target.pod, port)
        try:
            async with self._streams.port_forward(target.node, request) as stream:
                problem = await _both_ways(stream, inlet, send)
        except ApiError as error:
            problem = error.message
        finally:
            await inlet.close()
        return problem and worded(problem, port, target)


def worded(problem: str, port: int, target: PodTarget) -> str:
    """As kubelet words it; what the node tells in these words already stays as it is."""
    beginning = f"error forwarding port {port} to pod "
    if problem.startswith(beginning):
        return problem
    return f"{beginning}{target.pod}, uid {target.pod_uid}: unable to do port forwarding: {problem}"


async def _both_ways(stream: PortStream, inlet: Inlet, send: Send) -> str:
    """Until the pod ends its direction, or the client gives the connection up."""
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(_to_client(stream, send))
        feeding = group.create_task(_to_pod(stream, inlet, answering))
        await asyncio.wait((answering,))
        feeding.cancel()
    return "" if answering.cancelled() else answering.result()


async def _to_client(stream: PortStream, send: Send) -> str:
    while True:
        try:
            data = await stream.read()
        except ConnectionError as error:
            return str(error)
        if not data:
            return ""
        await send(data)


async def _to_pod(stream: PortStream, inlet: Inlet, answering: asyncio.Task[str]) -> None:
    """A stream that breaks is noticed by the reader of its answers."""
    try:
        while data := await inlet.take():
            await stream.write(data)
        if data is None:
            answering.cancel()
        else:
            await stream.end()
    except ConnectionError:
        return


def port_number(text: str) -> int:
    """Raises BadRequest."""
    number = port_of(text)
    if number is None:
        raise BadRequest(f'unable to parse "{text}" as a port')
    if number == 0:
        raise BadRequest(f'port "{text}" must be > 0')
    return number
