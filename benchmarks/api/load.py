"""Load on an API server over keep-alive connections: one request in flight on each, answers read and timed.

HTTP as simple as it gets (Content-Length or chunks are only told apart to find an answer's end), so that the load costs
less processor time than what it measures.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from benchmarks.api.server import HOST, Server

FINAL_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    gzip: bool = False

    def encode(self) -> bytes:
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            "Host: api",
            "User-Agent: benchmark/1",
            "Accept: application/json",
        ]
        if self.gzip:
            lines.append("Accept-Encoding: gzip")
        if self.body:
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answer is not None and not self._answer.done() and _is_whole(self._received):
            answer, self._received = bytes(self._received), bytearray()
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    async def ask(self, request: Request) -> bytes:
        """The answer with its head. Raises ConnectionError; AssertionError for a status of 300 and more."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request.encode())
        answer = await self._answer
        assert answer[9:10] == b"2", answer[:2000].decode()
        return answer

    def close(self) -> None:
        self._transport.close()


def _is_whole(received: bytearray) -> bool:
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = bytes(received[:head_end]).lower()
    at = head.find(b"content-length: ")
    if at < 0:
        return received.endswith(FINAL_CHUNK)
    length = int(head[at + 16 :].split(b"\r\n", 1)[0])
    return len(received) >= head_end + 4 + length


@asynccontextmanager
async def connections(server: Server, count: int) -> AsyncIterator[list[Connection]]:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            _, connection = await loop.create_connection(Connection, HOST, server.port, ssl=server.tls)
            stack.callback(connection.close)
            opened.append(connection)
        yield opened


async def drive(open_connections: list[Connection], requests: Iterator[Request]) -> list[float]:
    """Sends all requests, each connection the next one as soon as its last is answered. Seconds of each answer."""
    seconds: list[float] = []

    async def worker(connection: Connection) -> None:
        for request in requests:
            begin = time.perf_counter()
            await connection.ask(request)
            seconds.append(time.perf_counter() - begin)

    async with asyncio.TaskGroup() as group:
        for connection in open_connections:
            group.create_task(worker(connection))
    return seconds


class Watcher(asyncio.Protocol):
    """A watch that counts the events of one type, and tells when it has seen enough of them."""

    def __init__(self, path: str, expected: int, on_done: Callable[[], None]) -> None:
        self._request, self._expected, self._on_done = Request("GET", path), expected, on_done
        self._marker = b'{"type":"MODIFIED"'
        self._tail = b""
        self.seen = 0
        self.began = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        self.began.set()
        text = self._tail + data
        self.seen += text.count(self._marker)
        self._tail = text[-len(self._marker) + 1 :]
        if self.seen >= self._expected:
            self._expected = 1 << 60
            self._on_done()


@asynccontextmanager
async def watchers(server: Server, path: str, count: int, expected: int) -> AsyncIterator[asyncio.Event]:
    """Opens that many watches; the event is set once each has seen `expected` changes."""
    loop, done, waiting = asyncio.get_running_loop(), asyncio.Event(), count

    def one_is_done() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            done.set()

    async with AsyncExitStack() as stack:
        for _ in range(count):
            transport, watcher = await loop.create_connection(
                lambda: Watcher(path, expected, one_is_done), HOST, server.port, ssl=server.tls
            )
            stack.callback(transport.close)
            await watcher.began.wait()
        yield done
