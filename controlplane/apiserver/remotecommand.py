"""The exec and attach subresources: a websocket or SPDY connection to the client, a stream to the node, frames between.

How the command ended travels as a Status on the error channel; the HTTP status says only whether the streams opened.
A client that leaves ends the node's stream, which ends the command (the attached process runs on).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import msgspec
from aiohttp import WSMsgType, web
from aiohttp.web import StreamResponse

from controlplane.apiserver import channels, spdy_wire
from controlplane.apiserver.byte_wires import open_web_socket, take_over
from controlplane.apiserver.call import Call
from controlplane.apiserver.channels import ChannelProtocol
from controlplane.apiserver.pods import ContainerTarget, PodLookup
from controlplane.apiserver.query import Query
from controlplane.apiserver.spdy_wire import SpdyWire
from controlplane.apiserver.streams import AttachRequest, Channel, ExecRequest, ExecStream, Frame, NodeStreams
from orch.errors import BadRequest, InternalError

Opening = AbstractAsyncContextManager[ExecStream]
Open = Callable[[Query, ContainerTarget, "Wanted"], Opening]


class ClientLeft(Exception):
    """The client closed its side; nothing is left to do but to end the command."""


class Wire(Protocol):
    """The client's end of a remote command."""

    def frames(self) -> AsyncIterator[Frame]:
        """What the client sends, until it leaves."""

    async def send(self, frame: Frame) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams that the client opens (core/v1 PodExecOptions, PodAttachOptions)."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def channels(self) -> set[Channel]:
        asked = ((Channel.STDIN, self.stdin), (Channel.STDOUT, self.stdout), (Channel.STDERR, self.stderr))
        return {Channel.ERROR, *(channel for channel, is_asked in asked if is_asked)}

    @property
    def opening_channel(self) -> Channel:
        """Where the empty first message goes that tells a client that the streams are open (as kubelet does)."""
        if self.stdout:
            return Channel.STDOUT
        return Channel.STDERR if self.stderr else Channel.ERROR


class RemoteCommands:
    def __init__(self, lookup: PodLookup, streams: NodeStreams) -> None:
        self._lookup = lookup
        self._streams = streams

    async def exec(self, call: Call) -> StreamResponse:
        return await self._serve(call, self._exec)

    async def attach(self, call: Call) -> StreamResponse:
        return await self._serve(call, self._attach)

    def _exec(self, query: Query, target: ContainerTarget, wanted: Wanted) -> Opening:
        return self._streams.exec(target.node, exec_request(query.all("command"), target, wanted))

    def _attach(self, query: Query, target: ContainerTarget, wanted: Wanted) -> Opening:
        return self._streams.attach(target.node, attach_request(target, wanted))

    async def _serve(self, call: Call, open_stream: Open) -> StreamResponse:
        target = await self._lookup.find(call)
        wanted = streams_wanted(call.query)
        opening = open_stream(call.query, target, wanted)
        upgrade = call.request.headers.get("Upgrade", "").lower()
        if upgrade == "websocket":
            return await _over_websocket(call, wanted, opening)
        if upgrade == "spdy/3.1":
            return await _over_spdy(call, wanted, opening)
        raise BadRequest("Upgrade request required")


async def _over_websocket(call: Call, wanted: Wanted, opening: Opening) -> StreamResponse:
    protocol = channels.choose(call.request.headers.get("Sec-WebSocket-Protocol", ""))
    names = (protocol.name,) if protocol.name else ()
    async with opening as stream, open_web_socket(call.request, names) as web_socket:
        wire = WebSocketWire(web_socket, protocol)
        await wire.send(Frame(wanted.opening_channel, b""))
        await pump(wire, stream)
    return web_socket


async def _over_spdy(call: Call, wanted: Wanted, opening: Opening) -> StreamResponse:
    protocol = spdy_wire.choose(call.request.headers.getall("X-Stream-Protocol-Version", []))
    async with opening as stream, take_over(call.request, protocol) as connection:
        wire = SpdyWire(connection, protocol)
        await wire.open(wanted.channels)
        await pump(wire, stream)
        await wire.finish()
    return StreamResponse()


class WebSocketWire:
    def __init__(self, web_socket: web.WebSocketResponse, protocol: ChannelProtocol) -> None:
        self._web_socket = web_socket
        self._protocol = protocol

    async def frames(self) -> AsyncIterator[Frame]:
        async for message in self._web_socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            frame = channels.decode(self._protocol, message.data)
            if frame is not None:
                yield frame

    async def send(self, frame: Frame) -> None:
        message = channels.encode(self._protocol, frame)
        if isinstance(message, str):
            await self._web_socket.send_str(message)
        elif message is not None:
            await self._web_socket.send_bytes(message)


def streams_wanted(query: Query) -> Wanted:
    """Raises BadRequest. A terminal has no stderr of its own."""
    stdin, stdout, stderr, tty = (query.flag(name) for name in ("stdin", "stdout", "stderr", "tty"))
    if not (stdin or stdout or stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return Wanted(stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty)


def exec_request(command: tuple[str, ...], target: ContainerTarget, wanted: Wanted) -> ExecRequest:
    """Raises BadRequest."""
    if not command:
        raise BadRequest("you must specify at least one command for the container")
    return ExecRequest(
        pod_uid=target.pod_uid,
        namespace=target.namespace,
        pod=target.pod,
        container=target.container,
        command=command,
        stdin=wanted.stdin,
        stdout=wanted.stdout,
        stderr=wanted.stderr,
        tty=wanted.tty,
    )


def attach_request(target: ContainerTarget, wanted: Wanted) -> AttachRequest:
    """As kubelet has it: whether there is a terminal is the container's own matter, whatever the client asks for, and
    input for a container without stdin goes nowhere."""
    return AttachRequest(
        pod_uid=target.pod_uid,
        namespace=target.namespace,
        pod=target.pod,
        container=target.container,
        stdin=wanted.stdin and target.stdin,
        stdout=wanted.stdout,
        stderr=wanted.stderr and not target.tty,
        tty=target.tty,
    )


async def pump(wire: Wire, stream: ExecStream) -> None:
    """Both directions until the node's stream ends or the client leaves."""
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_to_node(wire, stream))
            await _to_client(wire, stream)
            sending.cancel()
    except* (ClientLeft, ConnectionError):
        pass


async def _to_client(wire: Wire, stream: ExecStream) -> None:
    async for frame in stream:
        await wire.send(frame)
        if frame.channel is Channel.ERROR:
            return
    lost = InternalError("the connection to the node broke before it told how the command ended")
    await wire.send(Frame(Channel.ERROR, msgspec.json.encode(lost.to_status())))


async def _to_node(wire: Wire, stream: ExecStream) -> None:
    """A node that takes no more input may still have to tell the end: what the client sends then is dropped."""
    is_open = True
    async for frame in wire.frames():
        is_open = is_open and await _passed(stream, frame)
    raise ClientLeft


async def _passed(stream: ExecStream, frame: Frame) -> bool:
    try:
        await stream.send(frame)
    except ConnectionError:
        return False
    return True
