"""Watch streams: one chunked response or websocket per watcher, written batch by batch.

A watcher is never waited for longer than a bound: while its transport is full, events stay in the shared log behind
its cursor; when it does not drain in time the connection is cut and the client resumes from its last revision.

An event after a pause goes out at once; while events keep coming, all watchers write together once per beat, so that
one TLS record carries several events: a write costs about as much as the encryption of 30 KB.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from operator import is_

import structlog
from aiohttp.web import StreamResponse

from controlplane.apiserver.call import Call
from controlplane.apiserver.forms import error_frame, event_frame
from controlplane.apiserver.negotiation import Form
from controlplane.apiserver.proxy_headers import wants_websocket
from controlplane.apiserver.query import watch_options
from controlplane.apiserver.settings import ServerSettings
from controlplane.apiserver.watch_outlets import Batch, Outlet, SlowWatcher, chunks, messages
from controlplane.registry.interface import Api
from controlplane.store.shelf import WATCH_BATCH_EVENTS_MAX
from orch.errors import ApiError, Expired, InternalError
from orch.kit.clock import Clock
from orch.kit.ids import Ids

log = structlog.get_logger(__name__)

Batches = AsyncIterator[Batch]

BEAT_S = 0.02
"""How long an event may wait for others. Only those wait that follow another one this closely."""
BEAT_MAX_S = 0.2
"""However long a round of writes takes."""
CHUNKS_KEPT_MAX = 8
"""Bodies joined for watchers at the same place; more places than this in one beat are rare."""


class Beat:
    """Wakes all who wait, together, so that they find the same events: `BEAT_S` after the first of them came, or as
    long as the last round of writes took if that is longer, which leaves half of the time to requests."""

    def __init__(self) -> None:
        self._next: asyncio.Event | None = None
        self._round_s = 0.0

    async def wait(self) -> None:
        if self._next is None:
            self._next = asyncio.Event()
            delay_s = min(max(BEAT_S, self._round_s), BEAT_MAX_S)
            asyncio.get_running_loop().call_later(delay_s, self._strike, self._next)
        await self._next.wait()

    def _strike(self, event: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        self._next = None
        event.set()
        loop.call_soon(self._end_round, loop.time())  # behind the writes of all who were woken just now

    def _end_round(self, began_s: float) -> None:
        self._round_s = asyncio.get_running_loop().time() - began_s


class Watches:
    """The open watch streams of one server."""

    def __init__(self, api: Api, clock: Clock, ids: Ids, settings: ServerSettings) -> None:
        self._api = api
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._open: set[asyncio.Timeout] = set()
        self._beat = Beat()
        self._chunks: deque[tuple[Batch, bytes]] = deque(maxlen=CHUNKS_KEPT_MAX)
        self._stopping = False

    def end_all(self) -> None:
        """Ends every stream cleanly, as if its time were up, so that a server can stop; new ones end at once."""
        self._stopping = True
        for timeout in self._open:
            timeout.reschedule(asyncio.get_running_loop().time())

    async def serve(self, call: Call) -> StreamResponse:
        """Raises ApiError until the stream has begun; later failures are ERROR events in it."""
        options = watch_options(call.query, call.path.name)
        seconds = self._duration_s(call)
        try:
            async with (
                self._api.watch(call.context, call.kind, call.path.namespace, options) as batches,
                self._outlet(call) as outlet,
            ):
                await self._run(call, outlet, batches, seconds)
        except Expired as error:
            async with self._outlet(call) as outlet:
                await outlet.tell(error_frame(error))
        return outlet.response

    def _outlet(self, call: Call) -> AbstractAsyncContextManager[Outlet]:
        stall_max_s = self._settings.slow_watcher_timeout_s
        if wants_websocket(call.request.headers):
            return messages(call, partial(self._frames, call), stall_max_s)
        is_plain = call.wanted.form is Form.OBJECT
        chunk = self._shared_chunk if is_plain else lambda batch: http_chunk(self._frames(call, batch))
        return chunks(call, chunk, stall_max_s)

    def _duration_s(self, call: Call) -> float:
        asked = call.query.integer("timeoutSeconds")
        low = self._settings.watch_timeout_min_s
        return float(asked) if asked else self._ids.uniform(low, 2 * low)

    async def _run(self, call: Call, outlet: Outlet, batches: Batches, seconds: float) -> None:
        """Streams until the time is up, the server stops, or the watch itself ends."""
        try:
            async with asyncio.timeout(0 if self._stopping else seconds) as timeout:
                self._open.add(timeout)
                try:
                    await self._stream(outlet, batches)
                finally:
                    self._open.discard(timeout)
        except TimeoutError:
            if not timeout.expired():
                raise
        except ApiError as error:
            await outlet.tell(error_frame(error))
        except SlowWatcher:
            log.info("watcher_cut", user=call.context.user.name, resource=call.kind.resource)
            raise
        except OSError:
            raise
        except Exception:
            log.exception("watch_failed", resource=call.kind.resource)
            await outlet.tell(error_frame(InternalError("the watch failed inside the server")))

    async def _stream(self, outlet: Outlet, batches: Batches) -> None:
        async for batch in batches:
            if batch:
                await outlet.send(batch)
                if len(batch) < WATCH_BATCH_EVENTS_MAX:  # a full one has more behind it
                    await self._beat.wait()

    def _shared_chunk(self, batch: Batch) -> bytes:
        """Watchers at the same place get the same events; what was joined for one is sent to all. The batch itself is
        one object too, unless it shows the kind in another form than the stored one."""
        for known, chunk in self._chunks:
            if known is batch or (len(known) == len(batch) and all(map(is_, known, batch))):
                return chunk
        chunk = http_chunk([event.frame for event in batch])
        self._chunks.appendleft((batch, chunk))
        return chunk

    def _frames(self, call: Call, batch: Batch) -> Sequence[bytes]:
        if call.wanted.form is Form.OBJECT:
            return [event.frame for event in batch]
        include, now = call.query.text("includeObject"), self._clock.now()
        return [event_frame(call.kind, event, call.wanted, include, now) for event in batch]


def http_chunk(frames: Sequence[bytes]) -> bytes:
    """RFC 9112 section 7.1."""
    body = b"".join(frames)
    return b"%x\r\n%b\r\n" % (len(body), body)
