"""Where the events of one watch go: into a chunked response, or message by message into a websocket.

A watcher is never waited for longer than a bound; then its connection is cut. One that leaves cancels the handler: of a
response the server sees to that (handler cancellation), of a websocket `messages`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web import StreamResponse

from controlplane.apiserver.byte_wires import open_web_socket
from controlplane.apiserver.call import Call
from controlplane.apiserver.responses import json_headers
from controlplane.registry.interface import StoredEvent

Batch = Sequence[StoredEvent[Any]]


class SlowWatcher(ConnectionError):
    """The client does not read; its connection is cut."""


class Outlet(Protocol):
    @property
    def response(self) -> StreamResponse: ...

    async def send(self, batch: Batch) -> None:
        """Raises SlowWatcher, ConnectionResetError."""

    async def tell(self, frame: bytes) -> None:
        """An event of the stream's own (meta/v1 WatchEvent), such as ERROR. Raises as `send`."""


class _Chunks:
    """One chunk per batch, straight to the transport."""

    def __init__(
        self, call: Call, response: StreamResponse, chunk: Callable[[Batch], bytes], stall_max_s: float
    ) -> None:
        self._request, self.response, self._chunk, self._stall_max_s = call.request, response, chunk, stall_max_s

    async def send(self, batch: Batch) -> None:
        """One write; waits only when the transport's buffer is full."""
        transport, protocol = self._request.transport, self._request.protocol
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the watcher has left")
        transport.write(self._chunk(batch))
        if protocol.writing_paused:
            async with _bounded(self._stall_max_s):
                await self._request.writer.drain()

    async def tell(self, frame: bytes) -> None:
        async with _bounded(self._stall_max_s):
            await self.response.write(frame)


class _Messages:
    """A text message per event, as kube-apiserver's WatchServer.HandleWS sends them."""

    def __init__(self, response: web.WebSocketResponse, frames: Callable[[Batch], Sequence[bytes]], stall_max_s: float):
        self.response, self._frames, self._stall_max_s = response, frames, stall_max_s

    async def send(self, batch: Batch) -> None:
        async with _bounded(self._stall_max_s):
            for frame in self._frames(batch):
                await self.response.send_str(frame.decode())

    async def tell(self, frame: bytes) -> None:
        async with _bounded(self._stall_max_s):
            await self.response.send_str(frame.decode())


@asynccontextmanager
async def chunks(call: Call, chunk: Callable[[Batch], bytes], stall_max_s: float) -> AsyncIterator[Outlet]:
    """Sends the head at once: a client may wait for it before any event comes."""
    response = StreamResponse(headers=json_headers(call.warnings))
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    yield _Chunks(call, response, chunk, stall_max_s)
    await response.write_eof()


@asynccontextmanager
async def messages(call: Call, frames: Callable[[Batch], Sequence[bytes]], stall_max_s: float) -> AsyncIterator[Outlet]:
    watching = asyncio.current_task()
    assert watching is not None, "requests run in tasks"
    try:
        async with open_web_socket(call.request, ()) as web_socket, asyncio.TaskGroup() as group:
            heeding = group.create_task(_heed(web_socket, watching))
            yield _Messages(web_socket, frames, stall_max_s)
            heeding.cancel()
    except BaseExceptionGroup as failures:  # the caller knows what to do about a connection that broke
        raise failures.exceptions[0] from None


async def _heed(web_socket: web.WebSocketResponse, watching: asyncio.Task[Any]) -> None:
    """Answers pings and drops what the client says, until it leaves."""
    async for _ in web_socket:
        pass
    watching.cancel()


@asynccontextmanager
async def _bounded(stall_max_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(stall_max_s):
            yield
    except TimeoutError:
        raise SlowWatcher("the watcher does not read") from None
