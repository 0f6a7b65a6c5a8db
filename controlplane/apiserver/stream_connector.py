"""HTTP to a port of a pod through its node's session: an aiohttp session whose connections are streams to that port.

A stream meets aiohttp in a pair of sockets, so that flow control, TLS and the end of either direction are the kernel's
and asyncio's own; one task per direction copies between the far socket and the stream.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from controlplane.apiserver.streams import PortStream

CONNECT_TIMEOUT_S = 10.0
"""For the TLS handshake with a pod."""
COPY_BYTES = 64 * 1024
HEAD_LINE_MAX_BYTES = 64 * 1024
NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
"""A proxied request may take as long as its client waits, as in Kubernetes."""


class _SocketConnector(aiohttp.BaseConnector):
    """Its one connection is a socket that is connected already."""

    def __init__(self, near: socket.socket) -> None:
        super().__init__(force_close=True, limit=1)
        self._near = near

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        tls = _unverified() if req.is_ssl() else None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, protocol = await self._loop.create_connection(
                lambda: ResponseHandler(loop=self._loop), sock=self._near, ssl=tls, server_hostname="" if tls else None
            )
        return protocol


def _unverified() -> ssl.SSLContext:
    """Pods have certificates that nobody here can check; Kubernetes does not either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def http_over(stream: PortStream) -> AsyncIterator[aiohttp.ClientSession]:
    """For one request. Leaving ends the tasks; the stream stays the caller's."""
    near, far = socket.socketpair()
    for end in (near, far):
        end.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=far)
    try:
        async with asyncio.TaskGroup() as group:
            copying = (
                group.create_task(_to_pod(reader, stream)),
                group.create_task(_from_pod(stream, writer)),
            )
            try:
                async with _session(near) as session:
                    yield session
            finally:
                for task in copying:
                    task.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the request's own failure: the copies have none
    finally:
        writer.transport.abort()
        near.close()


def _session(near: socket.socket) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_SocketConnector(near),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=NO_TIMEOUT,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        max_line_size=HEAD_LINE_MAX_BYTES,
        max_field_size=HEAD_LINE_MAX_BYTES,
    )


async def _to_pod(reader: asyncio.StreamReader, stream: PortStream) -> None:
    """A stream that breaks is noticed by the reader of its answers."""
    try:
        while data := await reader.read(COPY_BYTES):
            await stream.write(data)
        await stream.end()
    except ConnectionError:
        return


async def _from_pod(stream: PortStream, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await stream.read():
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        writer.transport.abort()
