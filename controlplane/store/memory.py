"""The reference store: etcd's semantics in one process's memory, for tests and the simulator.

Pure asyncio: no threads, no tasks, no wall clock; leases count the event loop's time, so virtual time works. All
history since the last compaction is kept in one log, and a watch is a cursor into it: a slow reader costs nothing and
loses nothing until a compaction passes it.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from controlplane.store.backend import (
    Change,
    Changes,
    Committed,
    Compacted,
    Delete,
    Entry,
    FutureRevision,
    Guard,
    Page,
    Put,
    Refused,
    StoreError,
    StoreUnavailable,
)

WATCH_STEP_REVISIONS_MAX = 1000
"""As etcd's watchBatchMaxRevs: how many revisions a lagging watch catches up with in one step."""

EMPTY_STORE_REVISION = 1
"""etcd's revision before the first write."""


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    expiry: asyncio.TimerHandle
    keys: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Version:
    """The state of one key from `revision` on; `entry` is None while it is deleted."""

    revision: int
    entry: Entry | None


class MemoryBackend:
    """A `Backend`."""

    def __init__(self) -> None:
        self._revision = EMPTY_STORE_REVISION
        self._compacted = 0
        self._keys: list[str] = []
        self._versions: dict[str, list[_Version]] = {}
        self._log: list[Changes] = []
        self._leases: dict[int, _Lease] = {}
        self._last_lease = 0
        self._changed = asyncio.Event()
        self._closed = False

    async def get(self, key: str, *, revision: int = 0) -> tuple[Entry | None, int]:
        self._check_readable(revision)
        return self._entry_at(key, revision), self._revision

    async def range(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Page:
        self._check_readable(revision)
        found = [entry for key in self._keys_under(prefix, start_after) if (entry := self._entry_at(key, revision))]
        taken = found[:limit] if limit else found
        left = len(found) - len(taken)
        return Page(tuple(taken), revision or self._revision, more=left > 0, remaining=left)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed | Refused:
        self._check_open()
        current = tuple(self._entry_at(guard.key, 0) for guard in guards)
        if not all(_holds(guard, entry) for guard, entry in zip(guards, current, strict=True)):
            return Refused(self._revision, current)
        self._check_writes(writes)
        self._apply(writes)
        return Committed(self._revision)

    async def revision(self) -> int:
        self._check_open()
        return self._revision

    @asynccontextmanager
    async def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[AsyncIterator[Changes]]:
        self._check_open()
        self._check_kept(start_revision - 1)
        async with aclosing(self._follow(prefix, start_revision)) as steps:
            yield steps

    async def compact(self, revision: int) -> None:
        self._check_readable(0)
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} is in the future of {self._revision}")
        if revision <= self._compacted:
            return
        self._log = [step for step in self._log if step.revision > revision]
        self._compacted = revision
        for key in list(self._keys):
            self._compact_key(key, revision)

    async def grant_lease(self, ttl_s: int) -> int:
        self._check_open()
        self._last_lease += 1
        lease = self._last_lease
        self._leases[lease] = _Lease(ttl_s, self._expire_after(ttl_s, lease))
        return lease

    async def keep_lease(self, lease: int) -> int:
        self._check_open()
        if (held := self._leases.get(lease)) is None:
            return 0
        held.expiry.cancel()
        held.expiry = self._expire_after(held.ttl_s, lease)
        return held.ttl_s

    async def revoke_lease(self, lease: int) -> None:
        self._check_open()
        self._end_lease(lease)

    async def close(self) -> None:
        self._closed = True
        for lease in self._leases.values():
            lease.expiry.cancel()
        self._wake_watchers()

    # Reading

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def _check_kept(self, revision: int) -> None:
        if 0 <= revision < self._compacted:
            raise Compacted(f"revision {revision} has been compacted", self._compacted)

    def _check_readable(self, revision: int) -> None:
        """0 stands for the newest revision."""
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} is in the future of {self._revision}")
        if revision:
            self._check_kept(revision)

    def _entry_at(self, key: str, revision: int) -> Entry | None:
        versions = self._versions.get(key)
        if not versions:
            return None
        if not revision or versions[-1].revision <= revision:
            return versions[-1].entry
        index = bisect_right(versions, revision, key=lambda version: version.revision)
        return versions[index - 1].entry if index else None

    def _keys_under(self, prefix: str, start_after: str) -> Iterator[str]:
        first = bisect_left(self._keys, prefix)
        if start_after >= prefix and start_after:
            first = bisect_right(self._keys, start_after)
        for index in range(first, len(self._keys)):
            if not self._keys[index].startswith(prefix):
                return
            yield self._keys[index]

    async def _follow(self, prefix: str, next_revision: int) -> AsyncGenerator[Changes, None]:
        next_revision = max(next_revision, EMPTY_STORE_REVISION + 1)
        while True:
            while next_revision > self._revision:
                await self._changed.wait()
                self._check_open()
            self._check_kept(next_revision - 1)
            first = next_revision - self._log[0].revision
            steps = self._log[first : first + WATCH_STEP_REVISIONS_MAX]
            next_revision = steps[-1].revision + 1
            changes = tuple(change for step in steps for change in step.changes if change.key.startswith(prefix))
            if changes:
                yield Changes(changes[-1].revision, changes)

    # Writing

    def _check_writes(self, writes: Sequence[Put | Delete]) -> None:
        if len({write.key for write in writes}) != len(writes):
            raise StoreError("a transaction may write a key once only")
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise StoreError(f"lease {write.lease} does not exist")

    def _apply(self, writes: Sequence[Put | Delete]) -> None:
        revision = self._revision + 1
        changes = [change for write in writes if (change := self._change(write, revision))]
        if changes:
            self._revision = revision
            self._log.append(Changes(revision, tuple(changes)))
            self._wake_watchers()

    def _change(self, write: Put | Delete, revision: int) -> Change | None:
        previous = self._entry_at(write.key, 0)
        if isinstance(write, Put):
            entry = _written(write, previous, revision)
        elif previous is None:
            return None
        else:
            entry = None
        self._move_lease(write.key, previous, entry)
        if write.key not in self._versions:
            insort(self._keys, write.key)
        self._versions.setdefault(write.key, []).append(_Version(revision, entry))
        return Change(write.key, revision, entry, previous)

    def _wake_watchers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _compact_key(self, key: str, revision: int) -> None:
        """Of the versions up to `revision` only the newest stays, and not even that when it is a deletion."""
        versions = self._versions[key]
        index = bisect_right(versions, revision, key=lambda version: version.revision)
        if index and versions[index - 1].entry is not None:
            index -= 1
        del versions[:index]
        if not versions:
            del self._versions[key]
            del self._keys[bisect_left(self._keys, key)]

    # Leases

    def _expire_after(self, ttl_s: int, lease: int) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(ttl_s, self._end_lease, lease)

    def _end_lease(self, lease: int) -> None:
        if held := self._leases.get(lease):
            held.expiry.cancel()
            self._apply([Delete(key) for key in held.keys])
            del self._leases[lease]

    def _move_lease(self, key: str, previous: Entry | None, entry: Entry | None) -> None:
        if previous and previous.lease:
            self._leases[previous.lease].keys.pop(key, None)
        if entry and entry.lease:
            self._leases[entry.lease].keys[key] = None


def _holds(guard: Guard, entry: Entry | None) -> bool:
    mod_revision = entry.mod_revision if entry else 0
    create_revision = entry.create_revision if entry else 0
    return guard.mod_revision in (None, mod_revision) and guard.create_revision in (None, create_revision)


def _written(write: Put, previous: Entry | None, revision: int) -> Entry:
    created, version = (previous.create_revision, previous.version) if previous else (revision, 0)
    return Entry(write.key, write.value, created, revision, version + 1, write.lease)
