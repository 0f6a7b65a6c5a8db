"""The cache over a memory store in virtual time: reads, waiting, watches, and what it does when the store fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from controlplane.registry.interface import StoredEvent
from controlplane.store import keys
from controlplane.store.backend import Changes, Committed, Delete, Put, StoreUnavailable
from controlplane.store.cache import BOOKMARK_INTERVAL_S, REACH_TIMEOUT_S, REPLAY_REVISIONS_MAX, WatchCache
from controlplane.store.memory import MemoryBackend
from controlplane.store.objects import Actor, ObjectFormat, OwnWrite, encode_stored, stored_at
from controlplane.store.shelf import EVERYTHING, Selection
from controlplane.store.transform import Transformers
from orch.api.codec import UntypedCodec, UntypedObject
from orch.api.kind import Kind, KindTable
from orch.api.kinds import PODS, builtin_kinds
from orch.client.client import EventType
from orch.errors import Expired, InternalError, ServiceUnavailable, Timeout
from orch.kit.clock import LoopClock
from tests.builders import NOW, pod
from tests.sim.virtual_loop import virtual

FORMAT = ObjectFormat(Transformers({}))


class FlakyBackend(MemoryBackend):
    """Counts revision reads; can be cut off: its watches then end and its reads fail."""

    def __init__(self) -> None:
        super().__init__()
        self.revision_reads = 0
        self.cut = asyncio.Event()

    async def revision(self) -> int:
        self.revision_reads += 1
        await asyncio.sleep(0.001)
        if self.cut.is_set():
            raise StoreUnavailable("cut off")
        return await super().revision()

    @asynccontextmanager
    async def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[AsyncIterator[Changes]]:
        if self.cut.is_set():
            raise StoreUnavailable("cut off")
        async with super().watch(prefix, start_revision=start_revision) as steps:
            yield self._until_cut(steps)

    async def _until_cut(self, steps: AsyncIterator[Changes]) -> AsyncIterator[Changes]:
        async for step in steps:
            if self.cut.is_set():
                raise StoreUnavailable("cut off")
            yield step


async def write(store: MemoryBackend, name: str, **fields: Any) -> int:
    obj, key = pod(name, **fields), keys.object_key(PODS, "default", name)
    return await commit(store, Put(key, FORMAT.seal(PODS, key, encode_stored(PODS, obj), Actor("test"))))


async def remove(store: MemoryBackend, name: str) -> int:
    return await commit(store, Delete(keys.object_key(PODS, "default", name)))


async def commit(store: MemoryBackend, write: Put | Delete) -> int:
    result = await store.commit([], [write])
    assert isinstance(result, Committed)
    return result.revision


@asynccontextmanager
async def running_cache(store: MemoryBackend, kinds: KindTable | None = None) -> AsyncIterator[WatchCache]:
    cache = WatchCache(store, kinds or builtin_kinds(), FORMAT, LoopClock(NOW))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.synced.wait()
        yield cache
        running.cancel()


def names(cache: WatchCache) -> list[str]:
    return [item.obj.metadata.name for item in cache.select(PODS, EVERYTHING)]


def seen(batch: Sequence[StoredEvent[Any]]) -> list[tuple[EventType, str, int]]:
    return [(event.type, event.stored.obj.metadata.name, event.stored.revision) for event in batch]


async def all_seen(events: AsyncIterator[Sequence[StoredEvent[Any]]], count: int) -> list[tuple[EventType, str, int]]:
    found: list[tuple[EventType, str, int]] = []
    while len(found) < count:
        found += seen(await anext(events))
    return found


async def is_waiting(awaitable: Awaitable[Any]) -> bool:
    try:
        async with asyncio.timeout(0.5):
            await awaitable
    except TimeoutError:
        return True
    return False


@virtual
async def test_it_shows_what_was_there_and_what_comes() -> None:
    store = MemoryBackend()
    await write(store, "a")
    async with running_cache(store) as cache:
        assert names(cache) == ["a"]
        await cache.reached(await write(store, "b"))
        await cache.reached(await remove(store, "a"))
        assert names(cache) == ["b"]
        stored = cache.get(PODS, "default", "b")
        assert stored is not None
        assert stored.obj.metadata.resource_version == str(stored.revision)


@virtual
async def test_an_own_write_comes_back_as_the_object_that_was_written() -> None:
    store, mine = MemoryBackend(), pod("mine")
    key, data = keys.object_key(PODS, "default", "mine"), encode_stored(PODS, mine)
    own = OwnWrite(mine, data, FORMAT.seal(PODS, key, data, Actor("test")))
    async with running_cache(store) as cache:
        cache.expect(key, own)
        await cache.reached(revision := await commit(store, Put(key, own.value)))
        stored = cache.get(PODS, "default", "mine")
        assert stored is not None
        assert stored.obj.spec is mine.spec
        assert stored == stored_at(mine, data, revision)
        assert stored.obj == PODS.codec.decode(stored.data)


@virtual
@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_write_that_is_not_as_expected_is_read_from_the_store(forgotten: bool) -> None:
    store, mine = MemoryBackend(), pod("mine")
    key, data = keys.object_key(PODS, "default", "mine"), encode_stored(PODS, mine)
    own = OwnWrite(mine, data, FORMAT.seal(PODS, key, data, Actor("test")))
    async with running_cache(store) as cache:
        cache.expect(key, own)
        if forgotten:
            cache.expect_no_more(key, own)
            await cache.reached(await commit(store, Put(key, own.value)))
        else:
            await cache.reached(await write(store, "mine", labels={"by": "another"}))
        stored = cache.get(PODS, "default", "mine")
        assert stored is not None
        assert stored.obj.spec is not mine.spec
        assert stored.obj.metadata.labels == (None if forgotten else {"by": "another"})


@virtual
async def test_internal_keys_are_kept_apart() -> None:
    store = MemoryBackend()
    await commit(store, Put(keys.INTERNAL + "a", b"1"))
    async with running_cache(store) as cache:
        await cache.reached(await commit(store, Put(keys.INTERNAL + "b", b"2")))
        assert {key: entry.value for key, entry in cache.internal.items()} == {
            keys.INTERNAL + "a": b"1",
            keys.INTERNAL + "b": b"2",
        }
        await cache.reached(await commit(store, Delete(keys.INTERNAL + "a")))
        assert list(cache.internal) == [keys.INTERNAL + "b"]


@virtual
async def test_a_damaged_object_is_never_taken_for_absent() -> None:
    store = MemoryBackend()
    key = keys.object_key(PODS, "default", "broken")
    await write(store, "a")
    with capture_logs() as logs:
        async with running_cache(store) as cache:
            await cache.reached(await commit(store, Put(key, b"\x01nonsense")))
            for read in (
                lambda: names(cache),
                lambda: cache.get(PODS, "default", "broken"),
                lambda: cache.select(PODS, Selection(namespace="default", name="broken")),
            ):
                with pytest.raises(InternalError, match='pods "default/broken" exists'):
                    read()
            assert cache.exists(PODS, "default", "broken")
            assert cache.get(PODS, "default", "a") is not None
            assert cache.select(PODS, Selection(namespace="other")) == ()
    assert [log["key"] for log in logs if log["event"] == "stored_object_unreadable"] == [key]


@virtual
async def test_a_watcher_of_an_object_that_gets_damaged_sees_no_delete() -> None:
    store = MemoryBackend()
    a = await write(store, "a")
    key = keys.object_key(PODS, "default", "a")
    async with running_cache(store) as cache:
        async with cache.watch(PODS, EVERYTHING, after=a, bookmarks=False) as events:
            broken = await commit(store, Put(key, b"\x01nonsense"))
            with pytest.raises(Expired):
                await anext(events)
        with pytest.raises(InternalError):
            async with cache.watch(PODS, EVERYTHING, after=broken, bookmarks=False):
                pytest.fail("the watch was let in")
        await cache.reached(repaired := await write(store, "a"))
        assert names(cache) == ["a"]
        async with cache.watch(PODS, EVERYTHING, after=broken, bookmarks=False) as events:
            assert seen(await anext(events)) == [(EventType.ADDED, "a", repaired)]


# Waiting for revisions


@virtual
async def test_a_fresh_read_sees_every_earlier_write() -> None:
    store = FlakyBackend()
    async with running_cache(store) as cache:
        for number in range(20):
            await write(store, f"p{number:02}")
            await cache.fresh()
            assert len(names(cache)) == number + 1


@virtual
async def test_readers_that_arrive_together_share_one_question() -> None:
    store = FlakyBackend()
    async with running_cache(store) as cache:
        before = store.revision_reads
        await asyncio.gather(*(cache.fresh() for _ in range(100)))
        assert store.revision_reads == before + 1


@virtual
async def test_a_reader_does_not_share_a_question_that_was_already_asked() -> None:
    store = FlakyBackend()
    async with running_cache(store) as cache, asyncio.TaskGroup() as group:
        before = store.revision_reads
        group.create_task(cache.fresh())
        await asyncio.sleep(0.0005)
        await write(store, "late")
        await cache.fresh()
        assert "late" in names(cache)
        assert store.revision_reads == before + 2


@virtual
async def test_a_cancelled_reader_harms_no_other() -> None:
    store = FlakyBackend()
    async with running_cache(store) as cache, asyncio.TaskGroup() as group:
        first = group.create_task(cache.fresh())
        second = group.create_task(cache.fresh())
        await asyncio.sleep(0)
        first.cancel()
        await second


@virtual
async def test_a_revision_from_the_future_is_refused_at_once() -> None:
    store = MemoryBackend()
    async with running_cache(store) as cache:
        with pytest.raises(Timeout) as refusal:
            await cache.not_older_than(cache.revision + 1)
        assert refusal.value.causes[0].reason == "ResourceVersionTooLarge"
        assert refusal.value.retry_after_s == 1


@virtual
async def test_waiting_for_a_revision_is_bounded() -> None:
    store = MemoryBackend()
    async with running_cache(store) as cache:
        started = asyncio.get_running_loop().time()
        with pytest.raises(Timeout):
            await cache.reached(cache.revision + 1)
        assert asyncio.get_running_loop().time() - started == pytest.approx(REACH_TIMEOUT_S)


# Watches


@virtual
async def test_a_watch_resumes_between_any_two_events() -> None:
    store = MemoryBackend()
    async with running_cache(store) as cache:
        a, b, c = await write(store, "a"), await write(store, "b"), await remove(store, "a")
        await cache.reached(c)
        async with cache.watch(PODS, EVERYTHING, after=a, bookmarks=False) as events:
            assert await all_seen(events, 2) == [(EventType.ADDED, "b", b), (EventType.DELETED, "a", c)]
            d = await write(store, "b", phase="Running")
            assert await all_seen(events, 1) == [(EventType.MODIFIED, "b", d)]


@virtual
async def test_a_watch_without_a_revision_begins_with_the_present_state() -> None:
    store = MemoryBackend()
    async with running_cache(store) as cache:
        a, b = await write(store, "a"), await write(store, "b")
        await cache.reached(b)
        async with cache.watch(PODS, EVERYTHING, after=None, bookmarks=False) as events:
            assert seen(await anext(events)) == [(EventType.ADDED, "a", a), (EventType.ADDED, "b", b)]
            c = await remove(store, "a")
            assert seen(await anext(events)) == [(EventType.DELETED, "a", c)]


@virtual
async def test_the_end_of_the_initial_events_is_marked_on_request() -> None:
    store = MemoryBackend()
    await write(store, "a")
    async with (
        running_cache(store) as cache,
        cache.watch(PODS, EVERYTHING, after=None, bookmarks=True, mark_initial=True) as events,
    ):
        added, mark = await anext(events)
    assert (added.type, mark.type) == (EventType.ADDED, EventType.BOOKMARK)
    assert mark.stored.obj.metadata.annotations == {"k8s.io/initial-events-end": "true"}
    assert b'"resourceVersion":"2"' in mark.stored.data


@virtual
async def test_bookmarks_come_in_time_though_nothing_matches() -> None:
    store = MemoryBackend()
    selection = Selection(name="mine")
    async with (
        running_cache(store) as cache,
        cache.watch(PODS, selection, after=cache.revision, bookmarks=True) as events,
        asyncio.TaskGroup() as group,
    ):

        async def others() -> None:
            for number in range(100):
                await write(store, f"other-{number}")
                await asyncio.sleep(BOOKMARK_INTERVAL_S / 50)

        writing = group.create_task(others())
        [bookmark] = await anext(events)
        assert bookmark.type is EventType.BOOKMARK
        assert int(bookmark.stored.obj.metadata.resource_version) == cache.revision > 40
        writing.cancel()


@virtual
async def test_a_bookmark_never_overtakes_an_event() -> None:
    """The write is applied in the very turn of the loop in which the bookmark falls due."""
    store, loop = MemoryBackend(), asyncio.get_running_loop()
    async with (
        running_cache(store) as cache,
        cache.watch(PODS, EVERYTHING, after=cache.revision, bookmarks=True) as events,
    ):
        writing = write(store, "a")

        def write_at_once() -> None:
            """A memory store's commit never suspends: one step of the coroutine is the whole write."""
            with pytest.raises(StopIteration):
                writing.send(None)

        loop.call_at(loop.time() + BOOKMARK_INTERVAL_S, write_at_once)
        [event], [bookmark] = await anext(events), await anext(events)
        assert (event.type, bookmark.type) == (EventType.ADDED, EventType.BOOKMARK)
        assert bookmark.stored.revision == event.stored.revision


@virtual
async def test_a_watcher_gets_everything_that_is_pending_at_once() -> None:
    store = MemoryBackend()
    async with (
        running_cache(store) as cache,
        cache.watch(PODS, EVERYTHING, after=cache.revision, bookmarks=False) as events,
    ):
        for number in range(50):
            last = await write(store, f"p{number}")
        await cache.reached(last)
        assert len(await anext(events)) == 50


@virtual
async def test_a_watch_from_before_the_history_has_expired() -> None:
    store = MemoryBackend()
    a = await write(store, "a")
    await store.compact(await write(store, "a"))
    async with running_cache(store) as cache:
        with pytest.raises(Expired):
            async with cache.watch(PODS, EVERYTHING, after=a, bookmarks=False):
                pytest.fail("the watch was let in")


# Starts and faults of the store


@virtual
async def test_a_restarted_cache_still_has_the_history_that_the_store_has() -> None:
    store = MemoryBackend()
    a, b, c = await write(store, "a"), await write(store, "b"), await remove(store, "a")
    await store.compact(a)
    async with running_cache(store) as cache:
        assert names(cache) == ["b"]
        async with cache.watch(PODS, EVERYTHING, after=a, bookmarks=False) as events:
            assert await all_seen(events, 2) == [(EventType.ADDED, "b", b), (EventType.DELETED, "a", c)]


@virtual
async def test_a_start_does_not_replay_without_bound() -> None:
    store = MemoryBackend()
    first = await write(store, "a")
    for _ in range(REPLAY_REVISIONS_MAX + 5):
        await commit(store, Put(keys.INTERNAL + "busy", b"x"))
    async with running_cache(store) as cache:
        assert names(cache) == ["a"]
        with pytest.raises(Expired):
            async with cache.watch(PODS, EVERYTHING, after=first, bookmarks=False):
                pytest.fail("the watch was let in")


@virtual
async def test_it_goes_on_where_it_was_when_the_store_comes_back() -> None:
    store = FlakyBackend()
    async with running_cache(store) as cache:
        async with cache.watch(PODS, EVERYTHING, after=cache.revision, bookmarks=False) as events:
            store.cut.set()
            a = await write(store, "a")
            assert await is_waiting(anext(events))
            with pytest.raises(ServiceUnavailable):
                await cache.fresh()
            store.cut.clear()
        async with cache.watch(PODS, EVERYTHING, after=a - 1, bookmarks=False) as events:
            b = await write(store, "b")
            assert await all_seen(events, 2) == [(EventType.ADDED, "a", a), (EventType.ADDED, "b", b)]


@virtual
async def test_it_starts_anew_when_the_store_has_forgotten_what_came_meanwhile() -> None:
    store = FlakyBackend()
    await write(store, "gone")
    async with running_cache(store) as cache:
        async with cache.watch(PODS, EVERYTHING, after=cache.revision, bookmarks=False) as events:
            store.cut.set()
            await write(store, "a")
            await asyncio.sleep(1)
            await remove(store, "gone")
            await store.compact(await write(store, "b"))
            store.cut.clear()
            with pytest.raises(Expired):
                await anext(events)
        await cache.fresh()
        assert names(cache) == ["a", "b"]


@virtual
async def test_a_kind_that_is_registered_later_finds_its_objects() -> None:
    widgets: Kind[UntypedObject] = Kind(
        "example.com", "v1", "Widget", "widgets", UntypedCodec("example.com/v1", "Widget")
    )
    store = MemoryBackend()
    key = keys.object_key(widgets, "default", "w")
    data = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"n":1}}'
    async with running_cache(store) as cache:
        await cache.reached(await commit(store, Put(key, FORMAT.seal(widgets, key, data, Actor("test")))))
        stored = cache.get(widgets, "default", "w")
        assert stored is not None
        assert stored.obj.content == {"spec": {"n": 1}}
        await cache.reached(await commit(store, Delete(key)))
        assert cache.get(widgets, "default", "w") is None
