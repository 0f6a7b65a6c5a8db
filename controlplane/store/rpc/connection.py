"""gRPC calls over one connection: the shell around `http2.py`, on the event loop's own transport. No tasks, no threads.

Invariant: every call ends exactly once: with its answer, an error, its deadline, its cancellation, or the connection.
What is asked for within one turn of the loop leaves in one write. The transport's buffer is bounded by the peer's
windows and its number of streams.
"""

import asyncio
from collections import deque
from typing import cast

from controlplane.store.rpc.frames import ErrorCode, ProtocolError
from controlplane.store.rpc.http2 import Data, Event, Headers, Http2Client, Stream
from controlplane.store.rpc.messages import Code, MessageReader, RpcError, error_of, error_of_reset, framed

KEEPALIVE_TICK_S = 2.5
SILENT_TICKS_PING = 4
SILENT_TICKS_MAX = 6
"""A loop that stands still counts as one tick however long, so that its own lag breaks no connection."""
INBOX_BYTES_MAX = 1024 * 1024
"""Beyond this much unread, a stream's sender waits for its reader."""


class Call:
    """A request and what has come of its answer. Read by one task at a time."""

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._reader = MessageReader()
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._withheld = 0
        self._waiter: asyncio.Future[None] | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.ended = False
        self.error: RpcError | None = None

    async def answer(self) -> bytes:
        """The one message of a unary call, which counts only with the status behind it. Raises RpcError."""
        while not self.ended:
            await self._change()
        if self.error:
            raise self.error
        if len(self._inbox) != 1:
            raise RpcError(Code.INTERNAL, f"{len(self._inbox)} messages answer a unary call")
        return self._inbox[0]

    async def receive(self) -> bytes:
        """The next message of a stream. Raises RpcError when there is none, UNAVAILABLE if the server just ended."""
        while not self._inbox:
            if self.ended:
                raise self.error or RpcError(Code.UNAVAILABLE, "the server ended the stream")
            await self._change()
        message = self._inbox.popleft()
        self._inbox_bytes -= len(message)
        if self._withheld and self._inbox_bytes < INBOX_BYTES_MAX:
            self._connection.acknowledge(self, self._withheld)
            self._withheld = 0
        return message

    def send(self, message: bytes) -> None:
        """Without effect on a call that has ended: `receive` says why it has."""
        self._connection.send(self, framed(message))

    def feed(self, data: bytes, *, hold: bool) -> int:
        """The number of bytes that may be acknowledged at once. Raises RpcError."""
        for message in self._reader.feed(data):
            self._inbox.append(message)
            self._inbox_bytes += len(message)
            if hold:
                self._wake()
        if hold and self._inbox_bytes >= INBOX_BYTES_MAX:
            self._withheld += len(data)
            return 0
        return len(data)

    def end(self, error: RpcError | None) -> None:
        self.ended, self.error = True, error
        if self.deadline:
            self.deadline.cancel()
        self._wake()

    async def _change(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """Made by the loop's `create_connection`; `settled` is done when the peer has said that it speaks HTTP/2."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._http = Http2Client()
        self._streams: dict[Call, Stream] = {}
        self._calls: dict[Stream, tuple[Call, bool]] = {}
        """With whether it is a stream, whose sender waits for its reader."""
        self._transport: asyncio.Transport | None = None
        self._flush_due = False
        self._heard = False
        self._silent_ticks = 0
        self._keepalive: asyncio.TimerHandle | None = None
        self.closed = False
        self.settled: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    @property
    def usable(self) -> bool:
        return not self.closed and not self._http.draining

    # Calls

    def start(self, block: bytes, body: bytes, timeout_s: float | None, *, unary: bool) -> Call:
        """Only while `usable`. Whoever starts a call must `cancel` it in the end, which harms none that is over."""
        call = Call(self, self._loop)
        stream = self._http.request(block, body, finishing=unary)
        self._streams[call] = stream
        self._calls[stream] = (call, not unary)
        if timeout_s is not None:
            call.deadline = self._loop.call_later(timeout_s, self._expire, call, timeout_s)
        self._flush_soon()
        return call

    def send(self, call: Call, data: bytes) -> None:
        if stream := self._streams.get(call):
            self._http.send(stream, data)
            self._flush_soon()

    def acknowledge(self, call: Call, size: int) -> None:
        if stream := self._streams.get(call):
            self._http.acknowledge(stream, size)
            self._flush_soon()

    def cancel(self, call: Call) -> None:
        self._abandon(call, RpcError(Code.CANCELLED, "cancelled by the caller"))

    def _expire(self, call: Call, timeout_s: float) -> None:
        self._abandon(call, RpcError(Code.DEADLINE_EXCEEDED, f"no answer within {timeout_s:g} s"))

    def _abandon(self, call: Call, error: RpcError) -> None:
        if stream := self._streams.get(call):
            self._http.cancel(stream)
            self._end(stream, error)
            self._flush_soon()

    def _end(self, stream: Stream, error: RpcError | None) -> None:
        call, _ = self._calls.pop(stream)
        del self._streams[call]
        call.end(error)
        if self._http.draining and not self._calls:
            self.close("every call of a connection that ends is answered")

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's TLS transport is none by inheritance
        self._keepalive = self._loop.call_later(KEEPALIVE_TICK_S, self._tick)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            for event in self._http.receive(data):
                self._dispatch(event)
        except ProtocolError as error:
            self._http.go_away(error.code)
            self._flush()
            self.close(f"etcd broke HTTP/2's rules: {error}")
            return
        if self._http.settled and not self.settled.done():
            self.settled.set_result(None)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"the connection was lost: {error or 'closed by the other side'}")
        if not self.lost.done():
            self.lost.set_result(None)

    def _dispatch(self, event: Event) -> None:
        if event.stream not in self._calls:
            return
        if isinstance(event, Data):
            self._on_data(event)
        elif isinstance(event, Headers):
            if event.ended:
                self._end(event.stream, error_of(event.headers))
        else:
            self._end(event.stream, error_of_reset(event.code))

    def _on_data(self, event: Data) -> None:
        call, hold = self._calls[event.stream]
        try:
            self._http.acknowledge(event.stream, call.feed(event.data, hold=hold))
        except RpcError as error:
            self._abandon(call, error)
        else:
            if event.ended:
                self._end(event.stream, RpcError(Code.INTERNAL, "an answer without trailers"))

    # Sending, keepalive, the end

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        data = self._http.to_send()
        if data and self._transport and not self.closed:
            self._transport.write(data)

    def _tick(self) -> None:
        """A connection without calls may be silent."""
        self._silent_ticks = 0 if self._heard or not self._calls else self._silent_ticks + 1
        self._heard = False
        if self._silent_ticks >= SILENT_TICKS_MAX:
            self.close(f"nothing heard for {SILENT_TICKS_MAX * KEEPALIVE_TICK_S:g} s, though pinged")
            return
        if self._silent_ticks == SILENT_TICKS_PING:
            self._http.ping()
            self._flush()
        self._keepalive = self._loop.call_later(KEEPALIVE_TICK_S, self._tick)

    def close(self, reason: str) -> None:
        """Ends all calls: what became of them is unknown."""
        if self.closed:
            return
        self.closed = True
        if self._keepalive:
            self._keepalive.cancel()
        if self._transport:
            self._transport.abort()
        if not self.settled.done():
            self.settled.set_exception(ConnectionError(reason))
            self.settled.exception()  # nobody may be waiting any more
        for stream in list(self._calls):
            self._end(stream, RpcError(Code.UNAVAILABLE, reason))

    def refuse(self) -> None:
        """Says goodbye before `close`: what was asked for does not matter any more."""
        self._http.go_away(ErrorCode.NO_ERROR)
        self._flush()
