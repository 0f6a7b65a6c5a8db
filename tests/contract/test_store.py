"""What every store must do, said once and run against all of them. etcd is real, one process for the module."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controlplane.store.backend import (
    Backend,
    Change,
    Changes,
    Committed,
    Compacted,
    Delete,
    FutureRevision,
    Guard,
    Put,
    Refused,
    StoreError,
    StoreUnavailable,
)
from controlplane.store.memory import MemoryBackend
from tests.etcd import Etcd, running_etcd

TIMEOUT_S = 10


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


@pytest.fixture(params=["memory", "etcd"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    etcd: Etcd | None = request.getfixturevalue("etcd") if request.param == "etcd" else None
    backend: Backend = await etcd.connect_when_up() if etcd else MemoryBackend()
    yield backend
    await backend.close()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """Tests share one etcd: each has keys of its own."""
    return f"/{tmp_path.name}/"


async def put(store: Backend, key: str, value: bytes = b"x", lease: int = 0) -> int:
    result = await store.commit([], [Put(key, value, lease)])
    assert isinstance(result, Committed)
    return result.revision


async def delete(store: Backend, key: str) -> int:
    result = await store.commit([], [Delete(key)])
    assert isinstance(result, Committed)
    return result.revision


async def read(steps: AsyncIterator[Changes], count: int) -> list[Change]:
    """The next `count` changes; a step may hold several."""
    changes: list[Change] = []
    async with asyncio.timeout(TIMEOUT_S):
        while len(changes) < count:
            step = await anext(steps)
            assert step.revision == step.changes[-1].revision
            changes += step.changes
    assert len(changes) == count
    return changes


# Revisions


async def test_each_write_is_one_revision_later(store: Backend, prefix: str) -> None:
    first = await put(store, prefix + "a")
    assert await put(store, prefix + "b") == first + 1
    assert await store.revision() == first + 1


async def test_an_entry_knows_its_creation_and_last_write(store: Backend, prefix: str) -> None:
    created = await put(store, prefix + "a", b"1")
    written = await put(store, prefix + "a", b"2")
    entry, revision = await store.get(prefix + "a")
    assert entry is not None
    assert (entry.key, entry.value, entry.version) == (prefix + "a", b"2", 2)
    assert (entry.create_revision, entry.mod_revision) == (created, written)
    assert revision == written


async def test_a_key_created_again_starts_anew(store: Backend, prefix: str) -> None:
    await put(store, prefix + "a")
    await delete(store, prefix + "a")
    again = await put(store, prefix + "a")
    entry, _ = await store.get(prefix + "a")
    assert entry is not None
    assert (entry.create_revision, entry.mod_revision, entry.version) == (again, again, 1)


async def test_get_of_an_absent_key(store: Backend, prefix: str) -> None:
    revision = await put(store, prefix + "a")
    assert await store.get(prefix + "b") == (None, revision)


async def test_get_at_an_earlier_revision(store: Backend, prefix: str) -> None:
    before = await put(store, prefix + "other")
    first = await put(store, prefix + "a", b"1")
    await put(store, prefix + "a", b"2")
    await delete(store, prefix + "a")
    then, _ = await store.get(prefix + "a", revision=first)
    assert then is not None
    assert then.value == b"1"
    assert (await store.get(prefix + "a", revision=before))[0] is None
    assert (await store.get(prefix + "a"))[0] is None


async def test_the_future_cannot_be_read(store: Backend, prefix: str) -> None:
    revision = await store.revision()
    with pytest.raises(FutureRevision):
        await store.range(prefix, revision=revision + 100)
    with pytest.raises(FutureRevision):
        await store.get(prefix, revision=revision + 100)


async def test_deleting_what_is_absent_is_no_revision(store: Backend, prefix: str) -> None:
    before = await put(store, prefix + "a")
    assert await delete(store, prefix + "absent") == before
    assert await store.revision() == before


# Compare and swap


async def test_writes_happen_when_the_guards_hold(store: Backend, prefix: str) -> None:
    created = await put(store, prefix + "a", b"1")
    guards = [Guard(prefix + "a", mod_revision=created), Guard(prefix + "b", mod_revision=0)]
    result = await store.commit(guards, [Put(prefix + "a", b"2"), Put(prefix + "b", b"3")])
    assert result == Committed(created + 1)
    page = await store.range(prefix)
    assert [(entry.value, entry.mod_revision) for entry in page.entries] == [(b"2", created + 1), (b"3", created + 1)]


@pytest.mark.parametrize("create_revision", [False, True])
async def test_nothing_happens_when_a_guard_fails(store: Backend, prefix: str, create_revision: bool) -> None:
    stale = await put(store, prefix + "a", b"1")
    current = await put(store, prefix + "a", b"2")
    guard = Guard(prefix + "a", create_revision=current) if create_revision else Guard(prefix + "a", mod_revision=stale)
    result = await store.commit([Guard(prefix + "absent", mod_revision=0), guard], [Put(prefix + "b", b"3")])
    assert isinstance(result, Refused)
    assert result.revision == current
    absent, present = result.current
    assert absent is None
    assert present is not None
    assert (present.value, present.mod_revision) == (b"2", current)
    assert (await store.get(prefix + "b"))[0] is None
    assert await store.revision() == current


async def test_a_guard_on_the_creation_survives_later_writes(store: Backend, prefix: str) -> None:
    created = await put(store, prefix + "leader", b"1")
    await put(store, prefix + "leader", b"2")
    result = await store.commit([Guard(prefix + "leader", create_revision=created)], [Put(prefix + "a", b"x")])
    assert isinstance(result, Committed)


async def test_of_two_creations_one_wins(store: Backend, prefix: str) -> None:
    create = [Guard(prefix + "a", mod_revision=0)], [Put(prefix + "a", b"x")]
    results = await asyncio.gather(store.commit(*create), store.commit(*create))
    assert sorted(type(result).__name__ for result in results) == ["Committed", "Refused"]


async def test_a_transaction_writes_a_key_once(store: Backend, prefix: str) -> None:
    with pytest.raises(StoreError):
        await store.commit([], [Put(prefix + "a", b"1"), Put(prefix + "a", b"2")])
    assert (await store.get(prefix + "a"))[0] is None


# Ranges


async def test_keys_come_in_the_order_of_their_bytes(store: Backend, prefix: str) -> None:
    names = ["a/b", "a-b", "a", "B", "b", "\u00e9", "\U0001f40b", "\uffee", "zz"]
    for name in names:
        await put(store, prefix + name)
    page = await store.range(prefix)
    assert [entry.key for entry in page.entries] == sorted((prefix + name for name in names), key=str.encode)


async def test_a_prefix_holds_its_keys_only(store: Backend, prefix: str) -> None:
    for key in ("pods/a", "pods/b", "podsets/a", "pod", "q"):
        await put(store, prefix + key)
    page = await store.range(prefix + "pods/")
    assert [entry.key for entry in page.entries] == [prefix + "pods/a", prefix + "pods/b"]
    assert (await store.range(prefix + "pods/", start_after=prefix + "pods/b")).entries == ()
    assert len((await store.range(prefix + "pods/", start_after="/")).entries) == 2


async def test_the_whole_key_space_can_be_read(store: Backend, prefix: str) -> None:
    await put(store, prefix + "a")
    keys = [entry.key for entry in (await store.range("")).entries]
    assert prefix + "a" in keys
    assert keys == sorted(keys, key=str.encode)


async def test_paging_at_one_revision_does_not_see_later_writes(store: Backend, prefix: str) -> None:
    for name in "abcde":
        await put(store, prefix + name, b"old")
    first = await store.range(prefix, limit=2)
    assert (first.more, first.remaining) == (True, 3)
    await put(store, prefix + "bb", b"new")
    await put(store, prefix + "d", b"new")
    await delete(store, prefix + "e")
    last_key = first.entries[-1].key
    rest = await store.range(prefix, start_after=last_key, limit=3, revision=first.revision)
    assert [(entry.key, entry.value) for entry in rest.entries] == [(prefix + name, b"old") for name in "cde"]
    assert (rest.more, rest.remaining, rest.revision) == (False, 0, first.revision)


async def test_a_range_larger_than_a_page_is_whole(store: Backend, prefix: str) -> None:
    names = [f"{number:04}" for number in range(1201)]
    for start in range(0, len(names), 100):
        await store.commit([], [Put(prefix + name, b"x") for name in names[start : start + 100]])
    page = await store.range(prefix)
    assert [entry.key for entry in page.entries] == [prefix + name for name in names]
    assert not page.more
    page = await store.range(prefix, limit=700)
    assert (len(page.entries), page.more, page.remaining) == (700, True, 501)


# Watches


async def test_a_watch_sees_each_kind_of_change(store: Backend, prefix: str) -> None:
    start = await store.revision() + 1
    async with store.watch(prefix, start_revision=start) as steps:
        created = await put(store, prefix + "a", b"1")
        changed = await put(store, prefix + "a", b"2")
        deleted = await delete(store, prefix + "a")
        creation, change, deletion = await read(steps, 3)
    assert (creation.revision, change.revision, deletion.revision) == (created, changed, deleted)
    assert creation.previous is None
    assert creation.entry is not None
    assert creation.entry == change.previous
    assert change.entry is not None
    assert (change.entry.value, change.entry.create_revision) == (b"2", created)
    assert (deletion.entry, deletion.previous) == (None, change.entry)


async def test_a_watch_begins_in_the_past(store: Backend, prefix: str) -> None:
    revisions = [await put(store, f"{prefix}{number}") for number in range(5)]
    async with store.watch(prefix, start_revision=revisions[2]) as steps:
        assert [change.revision for change in await read(steps, 3)] == revisions[2:]


async def test_a_watch_may_begin_in_the_future(store: Backend, prefix: str) -> None:
    start = await store.revision() + 3
    async with store.watch(prefix, start_revision=start) as steps:
        revisions = [await put(store, f"{prefix}{number}") for number in range(4)]
        assert [change.revision for change in await read(steps, 2)] == revisions[2:]


async def test_a_watch_sees_its_prefix_only(store: Backend, prefix: str) -> None:
    start = await store.revision() + 1
    async with store.watch(prefix + "in/", start_revision=start) as steps:
        await put(store, prefix + "out")
        await put(store, prefix + "in/a")
        await put(store, prefix + "inner")
        await put(store, prefix + "in/b")
        assert [change.key for change in await read(steps, 2)] == [prefix + "in/a", prefix + "in/b"]


async def test_a_transaction_is_one_step(store: Backend, prefix: str) -> None:
    start = await store.revision() + 1
    async with store.watch(prefix, start_revision=start) as steps:
        await store.commit([], [Put(f"{prefix}{number}", b"x") for number in range(10)])
        async with asyncio.timeout(TIMEOUT_S):
            step = await anext(steps)
    assert len(step.changes) == 10
    assert {change.revision for change in step.changes} == {start}


async def test_many_changes_arrive_in_order_and_none_is_lost(store: Backend, prefix: str) -> None:
    start = await store.revision() + 1
    async with store.watch(prefix, start_revision=start) as steps:
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(put(store, f"{prefix}{number % 7}"))
        changes = await read(steps, 500)
    assert [change.revision for change in changes] == list(range(start, start + 500))


async def test_a_slow_watcher_holds_up_nobody_and_misses_nothing(store: Backend, prefix: str) -> None:
    start = await store.revision() + 1
    async with store.watch(prefix, start_revision=start) as slow:
        async with store.watch(prefix, start_revision=start) as quick:
            for number in range(300):
                await put(store, prefix + "a", b"%d" % number * 100)
            await read(quick, 300)
        assert [change.revision for change in await read(slow, 300)] == list(range(start, start + 300))


async def test_large_values_pass(store: Backend, prefix: str) -> None:
    start = await store.revision() + 1
    value = b"v" * 1_400_000
    async with store.watch(prefix, start_revision=start) as steps:
        for number in range(8):
            await put(store, f"{prefix}{number}", value)
        changes = await read(steps, 8)
    assert all(change.entry is not None and change.entry.value == value for change in changes)
    async with store.watch(prefix, start_revision=start) as steps:
        assert len(await read(steps, 8)) == 8
    assert len((await store.range(prefix)).entries) == 8
    for number in range(8):
        await delete(store, f"{prefix}{number}")


# Compaction


async def test_history_below_a_compaction_is_gone(store: Backend, prefix: str) -> None:
    revisions = [await put(store, prefix + "a", b"%d" % number) for number in range(5)]
    compacted = revisions[2]
    await store.compact(compacted)
    with pytest.raises(Compacted):
        await store.get(prefix + "a", revision=revisions[1])
    with pytest.raises(Compacted):
        await store.range(prefix, revision=revisions[1])
    at_compaction, _ = await store.get(prefix + "a", revision=compacted)
    assert at_compaction is not None
    assert at_compaction.value == b"2"
    assert (await store.range(prefix, revision=revisions[3])).entries[0].value == b"3"


@pytest.mark.parametrize("behind", [0, 1, 2])
async def test_a_watch_from_below_a_compaction_is_refused(store: Backend, prefix: str, behind: int) -> None:
    revisions = [await put(store, prefix + "a") for _ in range(5)]
    compacted = revisions[3]
    await store.compact(compacted)
    with pytest.raises(Compacted) as refusal:
        async with asyncio.timeout(TIMEOUT_S), store.watch(prefix, start_revision=compacted - behind):
            pytest.fail("the watch was let in")
    assert refusal.value.compact_revision == compacted


async def test_a_watch_just_behind_a_compaction_is_whole(store: Backend, prefix: str) -> None:
    revisions = [await put(store, prefix + "a") for _ in range(3)]
    deleted = await delete(store, prefix + "a")
    await store.compact(revisions[1])
    async with store.watch(prefix, start_revision=revisions[2]) as steps:
        change, deletion = await read(steps, 2)
    assert change.previous is not None
    assert change.previous.mod_revision == revisions[1]
    assert (deletion.entry, deletion.revision) == (None, deleted)


async def test_a_compaction_keeps_the_present(store: Backend, prefix: str) -> None:
    await put(store, prefix + "a", b"1")
    await put(store, prefix + "b", b"2")
    await delete(store, prefix + "a")
    revision = await put(store, prefix + "c", b"3")
    await store.compact(revision)
    await store.compact(revision)
    page = await store.range(prefix)
    assert [(entry.key, entry.value) for entry in page.entries] == [(prefix + "b", b"2"), (prefix + "c", b"3")]


# Leases


async def test_keys_go_with_their_lease(store: Backend, prefix: str) -> None:
    lease = await store.grant_lease(60)
    await put(store, prefix + "leased", lease=lease)
    await put(store, prefix + "taken over", lease=lease)
    await put(store, prefix + "taken over")
    entry, revision = await store.get(prefix + "leased")
    assert entry is not None
    assert entry.lease == lease
    async with store.watch(prefix, start_revision=revision + 1) as steps:
        await store.revoke_lease(lease)
        [change] = await read(steps, 1)
    assert (change.key, change.entry) == (prefix + "leased", None)
    assert [entry.key for entry in (await store.range(prefix)).entries] == [prefix + "taken over"]


async def test_a_lease_expires(store: Backend, prefix: str) -> None:
    lease = await store.grant_lease(1)
    revision = await put(store, prefix + "a", lease=lease)
    async with store.watch(prefix, start_revision=revision + 1) as steps:
        [change] = await read(steps, 1)
    assert change.entry is None
    assert await store.keep_lease(lease) == 0


async def test_a_lease_that_is_kept_lives_on(store: Backend, prefix: str) -> None:
    lease = await store.grant_lease(2)
    await put(store, prefix + "a", lease=lease)
    for _ in range(6):
        await asyncio.sleep(0.5)
        assert await store.keep_lease(lease) == 2
    assert (await store.get(prefix + "a"))[0] is not None
    await store.revoke_lease(lease)


async def test_an_unknown_lease_is_refused(store: Backend, prefix: str) -> None:
    assert await store.keep_lease(987654321) == 0
    with pytest.raises(StoreError):
        await put(store, prefix + "a", lease=987654321)


# Ends


async def test_a_closed_store_is_unavailable(store: Backend, prefix: str) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.revision()
    with pytest.raises(StoreUnavailable):
        await store.commit([], [Put(prefix + "a", b"x")])
