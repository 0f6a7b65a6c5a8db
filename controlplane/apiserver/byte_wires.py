"""A client's connection once it speaks something else than HTTP: bytes both ways, over the socket itself or in the
binary messages of a websocket.

Must not know what the bytes mean. A read that gives nothing, or a ConnectionError, says that the client has left; a
client that is gone without a word is found by the kernel's keepalive, which works also while nobody reads.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import WSMsgType, web
from aiohttp.web import BaseRequest

READ_BYTES = 64 * 1024
MESSAGE_MAX_BYTES = 4 * 1024 * 1024
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 30, 10, 3


class ByteWire(Protocol):
    async def read(self) -> bytes:
        """b"" when the client has left."""

    async def write(self, data: bytes) -> None:
        """Waits while the client's buffer is full. Raises ConnectionError."""


class _TakenOver(asyncio.StreamReaderProtocol):
    """Tells the HTTP protocol when the connection is lost, else the HTTP server would keep it for ever."""

    def __init__(self, reader: asyncio.StreamReader, http: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._http = http

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._http.connection_lost(error)


class SocketWire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class MessageWire:
    """Bytes in binary messages; where one message ends has no meaning."""

    def __init__(self, web_socket: web.WebSocketResponse) -> None:
        self._web_socket = web_socket

    async def read(self) -> bytes:
        while True:
            message = await self._web_socket.receive()
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type is not WSMsgType.BINARY:
                return b""

    async def write(self, data: bytes) -> None:
        await self._web_socket.send_bytes(data)


@asynccontextmanager
async def take_over(request: BaseRequest, protocol: str) -> AsyncIterator[SocketWire]:
    """Answers 101 to an upgrade to SPDY/3.1 and gives the connection; leaving closes it."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    keep_alive(request)
    reader = asyncio.StreamReader(limit=READ_BYTES)
    taken = _TakenOver(reader, request.protocol)
    transport.set_protocol(taken)
    taken.connection_made(transport)
    writer = asyncio.StreamWriter(transport, taken, reader, asyncio.get_running_loop())
    head = ("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1")
    writer.write("\r\n".join((*head, f"X-Stream-Protocol-Version: {protocol}", "", "")).encode())
    try:
        yield SocketWire(reader, writer)
    finally:
        transport.close()


async def open_web_socket(request: BaseRequest, protocols: Sequence[str]) -> web.WebSocketResponse:
    """Answers 101 to an upgrade to websocket. No heartbeat: it would end a connection that nobody reads for a while."""
    keep_alive(request)
    web_socket = web.WebSocketResponse(protocols=protocols, max_msg_size=MESSAGE_MAX_BYTES, compress=False)
    await web_socket.prepare(request)
    return web_socket


def keep_alive(request: BaseRequest) -> None:
    """A client whose machine is gone is found within a minute."""
    known = None if request.transport is None else request.transport.get_extra_info("socket")
    if known is None:
        return
    with socket.socket(fileno=os.dup(known.fileno())) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
