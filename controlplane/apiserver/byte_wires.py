"""A client's connection once it speaks something else than HTTP: bytes both ways, over the socket itself or in the
binary messages of a websocket.

Must not know what the bytes mean. A read that gives nothing, or a ConnectionError, says that the client has left. While
a slow pod keeps everybody from reading, only the kernel knows whether the client is still there: it is asked, and its
keepalive finds clients that are gone without a word.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from aiohttp import WSMsgType, web
from aiohttp.web import BaseRequest

READ_BYTES = 64 * 1024
MESSAGE_MAX_BYTES = 4 * 1024 * 1024
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 30, 10, 3
PRESENCE_CHECK_S = 2.0
CLOSE_TIMEOUT_S = 5.0
"""For a websocket client to answer our close."""
TCP_ESTABLISHED = 1
"""State of a connection that neither side has ended (linux/tcp_states.h); the first byte of tcp_info."""


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
    reader = asyncio.StreamReader(limit=READ_BYTES)
    taken = _TakenOver(reader, request.protocol)
    transport.set_protocol(taken)
    taken.connection_made(transport)
    writer = asyncio.StreamWriter(transport, taken, reader, asyncio.get_running_loop())
    head = ("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1")
    writer.write("\r\n".join((*head, f"X-Stream-Protocol-Version: {protocol}", "", "")).encode())
    try:
        with _watched(transport):
            yield SocketWire(reader, writer)
    finally:
        transport.close()


@asynccontextmanager
async def open_web_socket(request: BaseRequest, protocols: Sequence[str]) -> AsyncIterator[web.WebSocketResponse]:
    """Answers 101 to an upgrade to websocket; leaving closes it. No heartbeat: it would end a connection that nobody
    reads for a while."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    web_socket = web.WebSocketResponse(
        protocols=protocols, max_msg_size=MESSAGE_MAX_BYTES, compress=False, timeout=CLOSE_TIMEOUT_S
    )
    await web_socket.prepare(request)
    with _watched(transport):
        yield web_socket
        await web_socket.close()


@contextmanager
def _watched(transport: asyncio.Transport) -> Iterator[None]:
    """Breaks the connection, and with it its handler, when the client has left unread."""
    _keep_alive(transport)
    presence = _Presence(transport)
    try:
        yield
    finally:
        presence.stop()


class _Presence:
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PRESENCE_CHECK_S, self._check)

    def stop(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        if self._transport.is_closing():
            return
        if not self._transport.is_reading() and not _is_established(self._transport):
            self._transport.abort()
            return
        self._timer = self._loop.call_later(PRESENCE_CHECK_S, self._check)


def _is_established(transport: asyncio.Transport) -> bool:
    with _socket_of(transport) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED


def _keep_alive(transport: asyncio.Transport) -> None:
    """A client whose machine is gone is found within a minute."""
    with _socket_of(transport) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def _socket_of(transport: asyncio.Transport) -> socket.socket:
    """A second descriptor, to be closed at once: while it is open, closing the transport tells the client nothing."""
    return socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
