"""exec, attach, log and port-forward streams to the nodes: ask the agent through its session, wait for it to come with
the one-time token.

    exec(), ...   > OpenStream with a token through the node's session > the agent opens an RPC with the token
                  < the RPC's handler hands its call over here and waits until the caller is done with it

Invariant: a token is good for one call, of one node, within `OPEN_TIMEOUT_S`. Frames are passed on as they come, with
the transport's own flow control; nothing is buffered here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from controlplane.apiserver.streams import (
    AttachRequest,
    Channel,
    ExecRequest,
    ExecStream,
    Frame,
    LogRequest,
    PortForwardRequest,
    PortStream,
)
from orch.errors import ServiceUnavailable, Unauthorized, from_status
from orch.kit.ids import Ids
from protos import node_pb2

OPEN_TIMEOUT_S = 10.0
TO_POD = 0
"""Channel of a port's bytes; those from the pod come on 1. An empty frame ends its direction."""

OpenOnNode = Callable[[str, node_pb2.OpenStream], None]
"""(node, request): hands the request to the node's session; raises ServiceUnavailable when it has none."""


class Call(Protocol):
    """The RPC that an agent opened."""

    async def read(self) -> node_pb2.StreamFrame | None:
        """None when the agent has ended its side, or is gone."""

    async def write(self, frame: node_pb2.StreamFrame) -> None:
        """Raises ConnectionResetError when the agent is gone."""


@dataclass(slots=True)
class _Expected:
    """A stream that an agent was asked for."""

    node: str
    call: asyncio.Future[Call]
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Streams:
    """Implements NodeStreams."""

    def __init__(self, open_on_node: OpenOnNode, ids: Ids) -> None:
        self._open_on_node, self._ids = open_on_node, ids
        self._expected: dict[str, _Expected] = {}

    @asynccontextmanager
    async def exec(self, node: str, request: ExecRequest) -> AsyncIterator[ExecStream]:
        """Raises ServiceUnavailable when the node has no session, NotFound and BadRequest as the agent says."""
        wire = node_pb2.ExecRequest(
            pod_uid=request.pod_uid,
            container=request.container,
            command=request.command,
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
            tty=request.tty,
        )
        async with self._opened(node, node_pb2.OpenStream(token=self._ids.token(), exec=wire)) as call:
            yield _ExecStream(call)

    @asynccontextmanager
    async def attach(self, node: str, request: AttachRequest) -> AsyncIterator[ExecStream]:
        """Raises as `exec`."""
        wire = node_pb2.AttachRequest(
            pod_uid=request.pod_uid,
            container=request.container,
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
            tty=request.tty,
        )
        async with self._opened(node, node_pb2.OpenStream(token=self._ids.token(), attach=wire)) as call:
            yield _ExecStream(call)

    @asynccontextmanager
    async def port_forward(self, node: str, request: PortForwardRequest) -> AsyncIterator[PortStream]:
        """Raises as `exec`; a port that nobody listens on is the agent's refusal."""
        wire = node_pb2.PortForwardRequest(pod_uid=request.pod_uid, port=request.port)
        async with self._opened(node, node_pb2.OpenStream(token=self._ids.token(), port_forward=wire)) as call:
            yield _PortStream(call)

    @asynccontextmanager
    async def logs(self, node: str, request: LogRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        """Raises as `exec`."""
        wire = node_pb2.LogRequest(
            pod_uid=request.pod_uid,
            container=request.container,
            follow=request.follow,
            previous=request.previous,
            timestamps=request.timestamps,
            tail_lines=request.tail_lines,
            limit_bytes=request.limit_bytes,
            since_time_unix_s=request.since_time_unix_s,
            stream=request.stream,
        )
        async with self._opened(node, node_pb2.OpenStream(token=self._ids.token(), logs=wire)) as call:
            yield _chunks(call)

    @asynccontextmanager
    async def metrics(self, node: str, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Raises as `exec`; metrics that there are none of are the agent's refusal."""
        wire = node_pb2.MetricsRequest(name=name)
        async with self._opened(node, node_pb2.OpenStream(token=self._ids.token(), metrics=wire)) as call:
            yield _chunks(call)

    async def serve(self, node: str, token: str, call: Call) -> None:
        """For the RPC's handler: returns when the stream's user is done. Raises Unauthorized for an unknown token."""
        expected = self._expected.pop(token, None)
        if expected is None or expected.node != node or expected.call.done():
            raise Unauthorized("this stream token was not given to this node, or was used, or is too old")
        expected.call.set_result(call)
        await expected.done.wait()

    @asynccontextmanager
    async def _opened(self, node: str, request: node_pb2.OpenStream) -> AsyncIterator[Call]:
        expected = _Expected(node, asyncio.get_running_loop().create_future())
        self._expected[request.token] = expected
        try:
            self._open_on_node(node, request)
            yield await _within(OPEN_TIMEOUT_S, node, expected.call)
        finally:
            self._expected.pop(request.token, None)
            expected.done.set()


async def _within(timeout_s: float, node: str, coming: asyncio.Future[Call]) -> Call:
    """The call that the agent opened and accepted. Raises ServiceUnavailable."""
    try:
        async with asyncio.timeout(timeout_s):
            call = await coming
            await _accepted(node, call)
            return call
    except TimeoutError as error:
        raise ServiceUnavailable(f"node {node!r} did not open the stream in {timeout_s:.0f} s") from error


async def _accepted(node: str, call: Call) -> None:
    """Reads the agent's first frame; raises what it refuses with."""
    frame = await call.read()
    if frame is None:
        raise ServiceUnavailable(f"node {node!r} closed the stream before it began")
    if frame.WhichOneof("frame") == "refused":
        raise from_status(msgspec.json.decode(frame.refused))


class _ExecStream:
    def __init__(self, call: Call) -> None:
        self._call = call

    async def send(self, frame: Frame) -> None:
        data = node_pb2.Data(channel=frame.channel, data=frame.data)
        await self._call.write(node_pb2.StreamFrame(data=data))

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await self._call.read()) is not None:
            yield Frame(Channel(frame.data.channel), frame.data.data)


class _PortStream:
    def __init__(self, call: Call) -> None:
        self._call = call

    async def read(self) -> bytes:
        frame = await self._call.read()
        if frame is None:
            raise ConnectionResetError("the connection to the pod was reset")
        return frame.data.data

    async def write(self, data: bytes) -> None:
        if data:
            await self._send(data)

    async def end(self) -> None:
        await self._send(b"")

    async def _send(self, data: bytes) -> None:
        await self._call.write(node_pb2.StreamFrame(data=node_pb2.Data(channel=TO_POD, data=data)))


async def _chunks(call: Call) -> AsyncIterator[bytes]:
    while (frame := await call.read()) is not None:
        yield frame.data.data
