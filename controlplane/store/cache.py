"""The watch cache: one watch over the whole key space keeps all kinds in memory, at one revision.

Every read is answered from here. A write answers after the cache has reached its revision; a linearizable read asks the
store for its revision once for all readers that arrived before the question was sent, then waits for the cache.
Invariant: everything that the cache shows is the state at `revision`, and its histories hold all events between their
floors and `revision`.
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import structlog

from controlplane.registry.interface import Stored, StoredEvent
from controlplane.store import keys
from controlplane.store.backend import Backend, Changes, Compacted, Entry, StoreError
from controlplane.store.history import FellBehind
from controlplane.store.objects import ObjectFormat, OwnWrite, stored_at
from controlplane.store.shelf import Selection, Shelf, Unreadable
from controlplane.store.transform import UnreadableValue
from orch.api.kind import Kind, KindTable
from orch.api.meta import Object
from orch.client.client import EventType
from orch.errors import Cause, Expired, ServiceUnavailable, Timeout
from orch.kit.clock import Clock
from orch.kit.tasks import forever

T = TypeVar("T", bound=Object)
log = structlog.get_logger(__name__)

WHOLE_KEY_SPACE = ""
LOAD_PAGE_ENTRIES = 500
REPLAY_REVISIONS_MAX = 20_000
"""How much history a start replays at most, about two seconds' worth of etcd's watch catch-up."""
RECONNECT_DELAY_S = 0.5
REACH_TIMEOUT_S = 10.0
"""How long a caller waits for the cache to reach a revision that the store has."""
BOOKMARK_INTERVAL_S = 30.0
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}
"""Annotation of the bookmark behind the initial events of a watch (KEP-3157)."""


class WatchCache:
    """Run `run` as a task; use it once `synced` is set."""

    def __init__(self, backend: Backend, kinds: KindTable, object_format: ObjectFormat, clock: Clock) -> None:
        self.revision = 0
        self.synced = asyncio.Event()
        self.internal: dict[str, Entry] = {}
        """Keys that are no objects: allocations and the like."""
        self._backend = backend
        self._kinds = kinds
        self._format = object_format
        self._clock = clock
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._unknown: dict[tuple[str, str], dict[str, Entry]] = {}
        self._awaited: list[tuple[int, int, asyncio.Future[None]]] = []
        self._awaited_count = 0
        self._own_writes: dict[str, OwnWrite] = {}
        self._readers: list[asyncio.Future[int]] = []
        self._reader_arrived = asyncio.Event()

    async def run(self) -> None:
        """Follows the store until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(forever("watch cache", self._follow_always))
            group.create_task(forever("revision reads", self._answer_readers))

    # Reading

    def shelf(self, kind: Kind[Any]) -> Shelf:
        """The objects of a kind, which may be registered at run time."""
        resource = (kind.group, kind.plural)
        if (shelf := self._shelves.get(resource)) is None:
            shelf = self._shelves[resource] = Shelf(kind, self.revision)
            for key, entry in self._unknown.pop(resource, {}).items():
                shelf.load(key, self._read(shelf, entry))
        return shelf

    def get(self, kind: Kind[T], namespace: str, name: str) -> Stored[T] | None:
        """Raises InternalError when it is there and cannot be read."""
        return self.shelf(kind).get(namespace, name)

    def unreadable_at(self, kind: Kind[Any], namespace: str, name: str) -> Unreadable | None:
        return self.shelf(kind).unreadable_at(namespace, name)

    def exists(self, kind: Kind[Any], namespace: str, name: str) -> bool:
        """Whether it is there, be it readable or not."""
        shelf = self.shelf(kind)
        return shelf.unreadable_at(namespace, name) is not None or shelf.get(namespace, name) is not None

    def select(self, kind: Kind[T], selection: Selection) -> tuple[Stored[T], ...]:
        return self.shelf(kind).select(selection)

    def expect(self, key: str, write: OwnWrite) -> None:
        """Told before the commit, so that an object that comes back as this process wrote it is not decoded again."""
        self._own_writes[key] = write

    def expect_no_more(self, key: str, write: OwnWrite) -> None:
        """Told once the write has come back or failed."""
        if self._own_writes.get(key) is write:
            del self._own_writes[key]

    async def reached(self, revision: int) -> None:
        """Returns when the cache shows `revision` or later. Raises Timeout."""
        if self.revision >= revision:
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._awaited_count += 1
        heapq.heappush(self._awaited, (revision, self._awaited_count, future))
        timer = loop.call_later(REACH_TIMEOUT_S, self._give_up, revision, future)  # a fifth of asyncio.timeout's cost
        try:
            await future
        finally:
            timer.cancel()

    def _give_up(self, revision: int, future: asyncio.Future[None]) -> None:
        if not future.done():
            why = f"is at revision {self.revision} and did not reach {revision} in {REACH_TIMEOUT_S} s"
            future.set_exception(Timeout(f"the server's view {why}"))

    async def store_revision(self) -> int:
        """The store's revision at some moment after this call. Raises ServiceUnavailable."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._readers.append(future)
        self._reader_arrived.set()
        return await future

    async def fresh(self) -> None:
        """Returns when the cache shows every write that was answered before this call."""
        await self.reached(await self.store_revision())

    async def not_older_than(self, revision: int) -> None:
        """Raises Timeout with cause ResourceVersionTooLarge when the store has not come to `revision` yet."""
        if self.revision >= revision:
            return
        if (newest := await self.store_revision()) < revision:
            raise too_large(revision, newest)
        await self.reached(revision)

    @asynccontextmanager
    async def watch(
        self, kind: Kind[T], selection: Selection, *, after: int | None, bookmarks: bool, mark_initial: bool = False
    ) -> AsyncIterator[AsyncIterator[Sequence[StoredEvent[T]]]]:
        """Events after the revision `after`; None: first the present state as ADDED events, their end marked by a
        bookmark if `mark_initial`. Raises Expired, InternalError."""
        shelf = self.shelf(kind)
        shelf.check_readable(selection)
        initial: list[StoredEvent[T]] = []
        if after is None:
            initial = [StoredEvent(EventType.ADDED, stored) for stored in shelf.select(selection)]
            initial += [self.bookmark(kind, INITIAL_EVENTS_END)] if mark_initial else []
            cursor = shelf.history.end
        else:
            cursor = _cursor_after(shelf, after)
        async with aclosing(self._events(shelf, selection, cursor, initial, bookmarks)) as events:
            yield events

    async def _events(
        self, shelf: Shelf, selection: Selection, cursor: int, batch: Sequence[StoredEvent[Any]], bookmarks: bool
    ) -> AsyncGenerator[Sequence[StoredEvent[Any]], None]:
        loop = asyncio.get_running_loop()
        bookmark_due = loop.time() + BOOKMARK_INTERVAL_S
        while True:
            if batch:
                yield batch
            end = cursor
            try:
                cursor, batch = shelf.events(cursor, selection)
            except FellBehind:
                raise _expired(f"the watch fell behind; the newest revision is {self.revision}") from None
            if cursor != end:
                continue
            if bookmarks and loop.time() >= bookmark_due:
                # No await since the events were read: nothing up to the cache's revision is left out.
                batch = (self.bookmark(shelf.kind),)
                bookmark_due = loop.time() + BOOKMARK_INTERVAL_S
                continue
            await shelf.change(bookmark_due if bookmarks else None)

    def bookmark(self, kind: Kind[T], annotations: dict[str, str] | None = None) -> StoredEvent[T]:
        """Says that everything up to the cache's revision has been delivered."""
        metadata = {"resourceVersion": str(self.revision)} | ({"annotations": annotations} if annotations else {})
        obj = kind.codec.from_plain({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})
        return StoredEvent(EventType.BOOKMARK, Stored(obj, self.revision, kind.codec.encode(obj)))

    async def _answer_readers(self) -> None:
        while True:
            await self._reader_arrived.wait()
            self._reader_arrived.clear()
            readers, self._readers = self._readers, []
            try:
                revision = await self._backend.revision()
            except StoreError as error:
                self._settle(readers, ServiceUnavailable(f"the store does not answer: {error}", retry_after_s=1))
            else:
                self._settle(readers, revision)

    def _settle(self, readers: Sequence[asyncio.Future[int]], outcome: int | Exception) -> None:
        for future in readers:
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    # Following the store

    async def _follow_always(self) -> None:
        for kind in self._kinds.stored():
            self.shelf(kind)
        start, loaded = 0, False
        while True:
            try:
                start = start or await self._oldest_replayed()
                await self._follow(self.revision if loaded else start, load=not loaded)
            except Compacted as error:
                log.warning("watch_cache_restarts", revision=self.revision, compacted=error.compact_revision)
                start, loaded = error.compact_revision, False
            except StoreError as error:
                loaded = self.revision > 0
                log.warning("store_watch_lost", revision=self.revision, error=str(error))
                await asyncio.sleep(RECONNECT_DELAY_S)

    async def _oldest_replayed(self) -> int:
        return max(await self._backend.revision() - REPLAY_REVISIONS_MAX, 1)

    async def _follow(self, revision: int, *, load: bool) -> None:
        """The state at `revision`, then every change. The watch is opened first, so that nothing compacts between."""
        async with self._backend.watch(WHOLE_KEY_SPACE, start_revision=revision + 1) as steps:
            if load:
                await self._load(revision)
            newest = await self._backend.revision()
            self._synced_at(newest)
            async for step in steps:
                self._apply(step)
                self._synced_at(newest)
        raise StoreError("the store ended the watch")

    async def _load(self, revision: int) -> None:
        entries: list[Entry] = []
        more, last = True, ""
        while more:
            page = await self._backend.range(
                WHOLE_KEY_SPACE, start_after=last, limit=LOAD_PAGE_ENTRIES, revision=revision
            )
            entries += page.entries
            more, last = page.more, page.entries[-1].key if page.entries else ""
        for shelf in self._shelves.values():
            shelf.reset(revision)
        self.internal.clear()
        self._unknown.clear()
        for entry in entries:
            self._put(entry.key, entry, entry.mod_revision, is_event=False)
        self._advance(revision)

    def _synced_at(self, newest: int) -> None:
        if self.revision >= newest and not self.synced.is_set():
            log.info("watch_cache_synced", revision=self.revision)
            self.synced.set()

    def _apply(self, step: Changes) -> None:
        touched: dict[tuple[str, str], Shelf] = {}
        for change in step.changes:
            if (shelf := self._put(change.key, change.entry, change.revision, is_event=True)) is not None:
                touched[shelf.kind.group, shelf.kind.plural] = shelf
        self._advance(step.revision)
        now = self._clock.monotonic()
        for shelf in touched.values():
            shelf.wake(now)

    def _put(self, key: str, entry: Entry | None, revision: int, *, is_event: bool) -> Shelf | None:
        """The shelf that changed, if one did."""
        if (place := keys.parse_object_key(key)) is None:
            _set_or_delete(self.internal, key, entry)
            return None
        item_key = f"{place.namespace}/{place.name}"
        shelf = self._shelves.get((place.group, place.resource))
        if shelf is None:
            _set_or_delete(self._unknown.setdefault((place.group, place.resource), {}), item_key, entry)
            return None
        stored = self._read(shelf, entry) if entry else None
        if is_event:
            shelf.put(item_key, stored, revision)
        else:
            shelf.load(item_key, stored)
        return shelf

    def _read(self, shelf: Shelf, entry: Entry) -> Stored[Any] | Unreadable:
        """One damaged value must not take the other kinds with it: its place is kept, loudly."""
        own = self._own_writes.get(entry.key)
        if own is not None and own.value == entry.value:
            return stored_at(own.obj, own.data, entry.mod_revision)
        try:
            return self._format.open(shelf.kind, entry)
        except UnreadableValue as error:
            log.error("stored_object_unreadable", key=entry.key, error=str(error))
            return Unreadable(entry.mod_revision)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        while self._awaited and self._awaited[0][0] <= revision:
            future = heapq.heappop(self._awaited)[2]
            if not future.done():
                future.set_result(None)


def too_large(revision: int, newest: int) -> Timeout:
    """As kube-apiserver answers a resourceVersion from the future."""
    return Timeout(
        f"Too large resource version: {revision}, current: {newest}",
        causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
        retry_after_s=1,
    )


def _expired(detail: str) -> Expired:
    return Expired(f"too old resource version: {detail}")


def _cursor_after(shelf: Shelf, revision: int) -> int:
    try:
        return shelf.history.cursor_after(revision)
    except FellBehind:
        raise _expired(f"{revision} ({shelf.history.floor})") from None


def _set_or_delete(entries: dict[str, Entry], key: str, entry: Entry | None) -> None:
    if entry is None:
        entries.pop(key, None)
    else:
        entries[key] = entry
