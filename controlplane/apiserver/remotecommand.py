"""The exec subresource: a websocket or SPDY connection to the client, a `NodeStreams.exec` to the node, frames
between.

How the command ended travels as a Status on the error channel; the HTTP status says only whether the streams opened.
A client that leaves ends the node's stream, which ends the command.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import WSMsgType, web
from aiohttp.web import StreamResponse

from controlplane.apiserver import channels, spdy_wire
from controlplane.apiserver.call import Call
from controlplane.apiserver.channels import ChannelProtocol
from controlplane.apiserver.pods import ContainerTarget, PodLookup
from controlplane.apiserver.query import Query
from controlplane.apiserver.streams import Channel, ExecRequest, ExecStream, Frame, NodeStreams
from orch.errors import BadRequest

MESSAGE_MAX_BYTES = 4 * 1024 * 1024
HEARTBEAT_S = 30.0
"""Pings find a dead client behind a silent command."""


class ClientLeft(Exception):
    """The client closed its side; nothing is left to do but to end the command."""


class Wire(Protocol):
    """The client's end of a remote command."""

    def frames(self) -> AsyncIterator[Frame]:
        """What the client sends, until it leaves."""

    async def send(self, frame: Frame) -> None: ...


class RemoteCommands:
    def __init__(self, lookup: PodLookup, streams: NodeStreams) -> None:
        self._lookup = lookup
        self._streams = streams

    async def serve(self, call: Call) -> StreamResponse:
        target = await self._lookup.find(call)
        request = exec_request(call.query, target)
        upgrade = call.request.headers.get("Upgrade", "").lower()
        if upgrade == "websocket":
            return await self._websocket(call, target.node, request)
        if upgrade == "spdy/3.1":
            return await self._spdy(call, target.node, request)
        raise BadRequest("exec needs an upgrade of the connection to websocket or SPDY/3.1")

    async def _websocket(self, call: Call, node: str, request: ExecRequest) -> StreamResponse:
        protocol = channels.choose(call.request.headers.get("Sec-WebSocket-Protocol", ""))
        names = (protocol.name,) if protocol.name else ()
        async with self._streams.exec(node, request) as stream:
            socket = web.WebSocketResponse(protocols=names, max_msg_size=MESSAGE_MAX_BYTES, heartbeat=HEARTBEAT_S)
            await socket.prepare(call.request)
            wire = WebSocketWire(socket, protocol)
            await wire.send(Frame(opening_channel(request), b""))
            await pump(wire, stream)
        await socket.close()
        return socket

    async def _spdy(self, call: Call, node: str, request: ExecRequest) -> StreamResponse:
        protocol = spdy_wire.choose(call.request.headers.getall("X-Stream-Protocol-Version", []))
        async with self._streams.exec(node, request) as stream, spdy_wire.take_over(call.request, protocol) as wire:
            await wire.open(request)
            await pump(wire, stream)
            await wire.finish()
        return StreamResponse()


class WebSocketWire:
    def __init__(self, socket: web.WebSocketResponse, protocol: ChannelProtocol) -> None:
        self._socket = socket
        self._protocol = protocol

    async def frames(self) -> AsyncIterator[Frame]:
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            frame = channels.decode(self._protocol, message.data)
            if frame is not None:
                yield frame

    async def send(self, frame: Frame) -> None:
        message = channels.encode(self._protocol, frame)
        if isinstance(message, str):
            await self._socket.send_str(message)
        elif message is not None:
            await self._socket.send_bytes(message)


def exec_request(query: Query, target: ContainerTarget) -> ExecRequest:
    """core/v1 PodExecOptions. Raises BadRequest."""
    command = query.all("command")
    stdin, stdout, stderr, tty = (query.flag(name) for name in ("stdin", "stdout", "stderr", "tty"))
    if not command:
        raise BadRequest("you must specify at least one command for the container")
    if not (stdin or stdout or stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return ExecRequest(
        pod_uid=target.pod_uid,
        namespace=target.namespace,
        pod=target.pod,
        container=target.container,
        command=command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr and not tty,
        tty=tty,
    )


def opening_channel(request: ExecRequest) -> Channel:
    """Where the empty first message goes that tells a client that the streams are open (as kubelet does)."""
    if request.stdout:
        return Channel.STDOUT
    return Channel.STDERR if request.stderr else Channel.ERROR


async def pump(wire: Wire, stream: ExecStream) -> None:
    """Both directions until the node's stream ends or the client leaves."""
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_to_node(wire, stream))
            async for frame in stream:
                await wire.send(frame)
            sending.cancel()
    except* (ClientLeft, ConnectionError):
        pass


async def _to_node(wire: Wire, stream: ExecStream) -> None:
    async for frame in wire.frames():
        await stream.send(frame)
    raise ClientLeft
