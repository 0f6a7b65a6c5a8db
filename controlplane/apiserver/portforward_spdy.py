"""Port-forward over SPDY/3.1 (portforward.k8s.io), as kubectl and the Go clients speak it.

For each connection the client opens two streams with one `requestID` and one `port`: an error stream, which carries
what went wrong, and a data stream. A session ends when its client leaves; its connections end with it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.apiserver.byte_wires import ByteWire
from controlplane.apiserver.forwarding import Forwarder, Inlet, Room, port_number
from controlplane.apiserver.spdy import (
    Connection,
    Data,
    Ended,
    Event,
    Opened,
    Reset,
    SpdyError,
    data_frame,
    reset_frame,
)
from orch.errors import BadRequest

PROTOCOL = "portforward.k8s.io"
DATA, ERROR = "data", "error"
CONNECTIONS_MAX = 1000
"""Of one session at one time; more are refused."""
PAIR_TIMEOUT_S = 30.0
"""For the second stream of a connection to come, as kubelet has it."""


class _ClientLeft(Exception):
    """Ends the session's tasks."""


@dataclass(slots=True)
class _Pair:
    """The streams of one connection."""

    port: int
    inlet: Inlet
    streams: dict[str, int] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class SpdyForwards:
    """One session."""

    def __init__(self, wire: ByteWire, forwarder: Forwarder) -> None:
        self._wire = wire
        self._forwarder = forwarder
        self._connection = Connection()
        self._room = Room()
        self._pairs: dict[str, _Pair] = {}
        self._by_stream: dict[int, tuple[str, _Pair]] = {}
        """SPDY stream -> what it is of which connection."""

    async def run(self) -> None:
        """Returns when the client has left."""
        try:
            async with asyncio.TaskGroup() as group:
                while data := await self._wire.read():
                    events, answer = self._connection.receive(data)
                    if answer:
                        await self._wire.write(answer)
                    for event in events:
                        await self._handle(event, group)
                raise _ClientLeft
        except* (_ClientLeft, ConnectionError, SpdyError):
            pass

    async def _handle(self, event: Event, group: asyncio.TaskGroup) -> None:
        if isinstance(event, Opened):
            await self._open(event, group)
            return
        kind, pair = self._by_stream.get(event.stream, ("", None))
        if pair is None or kind != DATA:
            return
        match event:
            case Data():
                await pair.inlet.put(event.data)
            case Ended():
                await pair.inlet.end()
            case Reset():
                await pair.inlet.close()

    async def _open(self, opened: Opened, group: asyncio.TaskGroup) -> None:
        kind, request_id = opened.headers.get("streamtype", ""), _request_id(opened)
        known = self._pairs.get(request_id)
        port = _port(opened.headers)
        is_full = known is None and len(self._pairs) >= CONNECTIONS_MAX
        if not port or kind not in (DATA, ERROR) or is_full or (known and kind in known.streams):
            await self._wire.write(reset_frame(opened.stream))
            return
        pair = known or self._pairs.setdefault(request_id, _Pair(port, Inlet(self._room)))
        pair.streams[kind] = opened.stream
        self._by_stream[opened.stream] = (kind, pair)
        if known is None:
            group.create_task(self._serve(request_id, pair))
        else:
            pair.complete.set()

    async def _serve(self, request_id: str, pair: _Pair) -> None:
        try:
            await self._wire.write(self._last_words(pair, await self._carry(pair)))
        finally:
            await pair.inlet.close()
            del self._pairs[request_id]
            for stream in pair.streams.values():
                del self._by_stream[stream]

    async def _carry(self, pair: _Pair) -> str:
        try:
            async with asyncio.timeout(PAIR_TIMEOUT_S):
                await pair.complete.wait()
        except TimeoutError:
            return f"timed out waiting for the second stream of a connection to port {pair.port}"

        async def send(data: bytes) -> None:
            await self._wire.write(data_frame(pair.streams[DATA], data))

        return await self._forwarder.carry(pair.port, pair.inlet, send)

    def _last_words(self, pair: _Pair, problem: str) -> bytes:
        """The error first: a client may look for it as soon as the data have ended."""
        words = {ERROR: problem.encode(), DATA: b""}
        return b"".join(data_frame(pair.streams[kind], words[kind], fin=True) for kind in words if kind in pair.streams)


def _request_id(opened: Opened) -> str:
    """Clients before Kubernetes 1.1 name none: their error stream comes right before their data stream."""
    first = opened.stream - (2 if opened.headers.get("streamtype") == DATA else 0)
    return opened.headers.get("requestid") or f"#{first}"


def _port(headers: Mapping[str, str]) -> int:
    """0 for headers that name no port."""
    try:
        return port_number(headers.get("port", ""))
    except BadRequest:
        return 0
