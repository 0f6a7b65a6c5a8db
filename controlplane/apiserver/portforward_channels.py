"""Port-forward over websocket channels (v4.channel.k8s.io), as the Python client speaks it: one connection per port of
the query, channel 2n for its data and 2n+1 for what went wrong.

Each channel begins with the port as two bytes, little endian. v4 cannot say that one side has ended, so the socket is
closed when all connections are over; v5 is this project's addition: a message on channel 255 names the channel that
its sender has ended, as in remotecommand.
"""

import asyncio
import struct
from collections.abc import Iterable

from aiohttp import WSMsgType, web

from controlplane.apiserver import channels
from controlplane.apiserver.forwarding import Forwarder, Inlet, Room, port_number
from controlplane.apiserver.query import Query
from controlplane.apiserver.streams import Channel
from orch.errors import BadRequest

CLOSING_PROTOCOL = "v5.channel.k8s.io"
BASE64_PROTOCOL = "v4.base64.channel.k8s.io"
PROTOCOLS = (CLOSING_PROTOCOL, "v4.channel.k8s.io", BASE64_PROTOCOL)
PORTS_MAX = 127
"""Two channels each; the number of a channel is one byte, and 255 is taken."""


class _ClientLeft(Exception):
    """Ends the session's tasks."""


class ChannelForwards:
    """One session."""

    def __init__(self, web_socket: web.WebSocketResponse, forwarder: Forwarder, ports: Iterable[int]) -> None:
        self._web_socket = web_socket
        self._protocol = web_socket.ws_protocol or ""
        self._as_text = self._protocol == BASE64_PROTOCOL
        self._forwarder = forwarder
        room = Room()
        self._inlets = [(port, Inlet(room)) for port in ports]

    async def run(self) -> None:
        """Returns when all connections are over, or the client has left."""
        try:
            async with asyncio.TaskGroup() as group:
                receiving = group.create_task(self._receive())
                async with asyncio.TaskGroup() as connections:
                    for index, (port, inlet) in enumerate(self._inlets):
                        connections.create_task(self._serve(index, port, inlet))
                receiving.cancel()
        except* (_ClientLeft, ConnectionError):
            pass

    async def _serve(self, index: int, port: int, inlet: Inlet) -> None:
        data_channel, error_channel = 2 * index, 2 * index + 1
        for channel in (data_channel, error_channel):
            await self._send(channel, struct.pack("<H", port))

        async def send(data: bytes) -> None:
            await self._send(data_channel, data)

        problem = await self._forwarder.carry(port, inlet, send)
        if problem:
            await self._send(error_channel, problem.encode())
        if self._protocol == CLOSING_PROTOCOL:
            await self._send(Channel.CLOSE, bytes((data_channel,)))

    async def _send(self, channel: int, data: bytes) -> None:
        message = channels.join(channel, data, as_text=self._as_text)
        if isinstance(message, str):
            await self._web_socket.send_str(message)
        else:
            await self._web_socket.send_bytes(message)

    async def _receive(self) -> None:
        async for message in self._web_socket:
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT) and message.data:
                await self._take(*channels.split(message.data, as_text=self._as_text))
        raise _ClientLeft

    async def _take(self, channel: int, data: bytes) -> None:
        """Input on error channels, or on channels that are not there, is dropped."""
        is_end = channel == Channel.CLOSE and self._protocol == CLOSING_PROTOCOL and len(data) == 1
        number = data[0] if is_end else channel
        if number % 2 or number // 2 >= len(self._inlets):
            return
        _, inlet = self._inlets[number // 2]
        if is_end:
            await inlet.end()
        elif data:
            await inlet.put(data)


def choose(offered: str) -> str:
    """From the Sec-WebSocket-Protocol header, the client's order first; "": it named none. Raises BadRequest."""
    names = [name.strip() for name in offered.split(",") if name.strip()]
    for name in names:
        if name in PROTOCOLS:
            return name
    if names:
        raise BadRequest(f"none of the websocket protocols is supported: {offered}; supported: {', '.join(PROTOCOLS)}")
    return ""


def ports_of(query: Query) -> list[int]:
    """core/v1 PodPortForwardOptions: `ports` may be repeated, and hold several with commas. Raises BadRequest."""
    values = query.all("ports")
    if not values:
        raise BadRequest('query parameter "ports" is required')
    if "" in values:
        raise BadRequest('query parameter "ports" cannot be empty')
    ports = [port_number(text) for value in values for text in value.split(",")]
    if len(ports) > PORTS_MAX:
        raise BadRequest(f"{len(ports)} ports in one session; at most {PORTS_MAX} have channels")
    return ports
