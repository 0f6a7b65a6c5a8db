"""All objects of one kind in memory: by key, in order, by one indexed field, with their recent events.

Synchronous throughout: between two awaits of anybody the shelf is at one revision. A page of objects is a tuple made
once and shared until something changes; objects themselves are never changed.

An object whose stored value cannot be read is not absent: whoever would conclude so collects its dependents or starts
it a second time. It keeps its place as `Unreadable`, and every read that it might belong to fails and names it, as
kube-apiserver does. It can only be deleted by force.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.registry.interface import Stored, StoredEvent
from controlplane.store.history import CacheEvent, History
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.errors import InternalError

INDEXED_FIELDS = {("", "pods"): "spec.nodeName"}
"""One field per kind that lists are often narrowed by: every node asks for its own pods."""

WATCH_BATCH_EVENTS_MAX = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch wants. `index_value` narrows by the indexed field, which `predicate` tests as well.

    Two selections are equal when their predicates are: those made of the same selectors share one."""

    namespace: str = ""
    name: str = ""
    index_value: str = ""
    predicate: Callable[[Object], bool] | None = None

    @property
    def is_everything(self) -> bool:
        return not (self.namespace or self.name or self.predicate)

    def matches(self, obj: Object) -> bool:
        metadata = obj.metadata
        if self.namespace and metadata.namespace != self.namespace:
            return False
        if self.name and metadata.name != self.name:
            return False
        return self.predicate is None or self.predicate(obj)


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for an object of which nothing is known but that it exists, written at `revision`."""

    revision: int


def unreadable(kind: Kind[Any], key: str) -> InternalError:
    """`key` is namespace/name."""
    name = key.partition("/")[2]
    return InternalError(
        f'Internal error occurred: {kind.resource} "{key.removeprefix("/")}" exists, but its stored value cannot be '
        "read; restore the encryption key or the newer server that wrote it, or delete it by force (grace period 0)",
        group=kind.group,
        kind=kind.plural,
        name=name,
    )


class Shelf:
    """The objects of `kind`."""

    def __init__(self, kind: Kind[Any], floor: int) -> None:
        self.kind = kind
        self.history = History(floor)
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.changed_revision = floor
        """Of the newest write of any object of this kind."""
        self._items: dict[str, Stored[Any]] = {}
        self._unreadable: dict[str, Unreadable] = {}
        self._keys: list[str] = []
        self._listings: dict[str, tuple[Stored[Any], ...]] = {}
        self._shared_batches: dict[tuple[int, int, Selection], Sequence[StoredEvent[Any]]] = {}
        """(cursor, end, selection) -> what such a watcher sees. Watchers with the same selection filter once. Forgotten
        with the next change."""
        path = INDEXED_FIELDS.get((kind.group, kind.plural), "")
        self._index_field = kind.fields.get(path) if path else None
        self._index: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, namespace: str, name: str) -> Stored[Any] | None:
        """Raises InternalError when it is there and cannot be read."""
        key = f"{namespace}/{name}"
        if key in self._unreadable:
            raise unreadable(self.kind, key)
        return self._items.get(key)

    def unreadable_at(self, namespace: str, name: str) -> Unreadable | None:
        return self._unreadable.get(f"{namespace}/{name}")

    def check_readable(self, selection: Selection) -> None:
        """Raises InternalError for an object that might be selected and cannot be read."""
        for key in self._unreadable:
            namespace, _, name = key.partition("/")
            if selection.namespace in ("", namespace) and selection.name in ("", name):
                raise unreadable(self.kind, key)

    def select(self, selection: Selection) -> tuple[Stored[Any], ...]:
        """In key order. Raises InternalError."""
        self.check_readable(selection)
        if selection.name and (selection.namespace or not self.kind.namespaced):
            found = self.get(selection.namespace, selection.name)
            return (found,) if found and selection.matches(found.obj) else ()
        if selection.index_value and self._index_field:
            keys = sorted(self._index.get(selection.index_value, ()))
            return tuple(item for key in keys if selection.matches((item := self._items[key]).obj))
        items = self._in_namespace(selection.namespace)
        if selection.name or selection.predicate:
            return tuple(item for item in items if selection.matches(item.obj))
        return items

    def events(self, cursor: int, selection: Selection) -> tuple[int, Sequence[StoredEvent[Any]]]:
        """The cursor behind the next events, and those of them that the selection sees. Raises FellBehind."""
        events = self.history.since(cursor, WATCH_BATCH_EVENTS_MAX)
        end = cursor + len(events)
        if not events:
            return end, ()
        place = (cursor, end, selection)
        if (batch := self._shared_batches.get(place)) is None:
            if selection.is_everything:
                batch = [event.plain for event in events]
            else:
                batch = [seen for event in events if (seen := _seen_by(selection, event))]
            self._shared_batches[place] = batch
        return end, batch

    async def change(self, deadline_s: float | None) -> None:
        """Returns after the next change, or at a time of the loop's clock. Half the cost of an Event in a timeout."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting[future] = None
        timer = loop.call_at(deadline_s, _end, future) if deadline_s is not None else None
        try:
            await future
        finally:
            self._waiting.pop(future, None)
            if timer is not None:
                timer.cancel()

    def put(self, key: str, after: Stored[Any] | Unreadable | None, revision: int) -> None:
        """One write, in order. `key` is namespace/name. What cannot be read is no event: every watcher falls behind."""
        before = self._items.get(key)
        if after is None and before is None and key not in self._unreadable:
            return
        self.load(key, after)
        self.changed_revision = revision
        if isinstance(after, Unreadable):
            self.history = self.history.restarted(revision)
        elif before or after:
            self.history.append(CacheEvent(revision, before, after))

    def load(self, key: str, stored: Stored[Any] | Unreadable | None) -> None:
        """An object of the initial state: it is there, but was no event."""
        self._unreadable.pop(key, None)
        if isinstance(stored, Unreadable):
            self._unreadable[key], stored = stored, None
        before = self._items.get(key)
        if before or stored:
            self._store(key, before, stored)
        self._listings.clear()

    def wake(self, now: float) -> None:
        """After a step of writes: lets every watcher look."""
        self.history.evict(now)
        self._notify()

    def reset(self, floor: int) -> None:
        """Forgets everything; every watcher falls behind."""
        self._items.clear()
        self._unreadable.clear()
        self._keys.clear()
        self._listings.clear()
        self._index.clear()
        self.changed_revision = floor
        self.history = self.history.restarted(floor)
        self._notify()

    def _notify(self) -> None:
        self._shared_batches.clear()
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            _end(future)

    def _store(self, key: str, before: Stored[Any] | None, after: Stored[Any] | None) -> None:
        self._reindex(key, before, after)
        if after is None:
            del self._items[key]
            del self._keys[bisect_left(self._keys, key)]
            return
        if before is None:
            insort(self._keys, key)
        self._items[key] = after

    def _reindex(self, key: str, before: Stored[Any] | None, after: Stored[Any] | None) -> None:
        if self._index_field is None:
            return
        old = self._index_field(before.obj) if before else ""
        new = self._index_field(after.obj) if after else ""
        if old and old != new:
            del self._index[old][key]
            if not self._index[old]:
                del self._index[old]
        if new and old != new:
            self._index.setdefault(new, {})[key] = None

    def _in_namespace(self, namespace: str) -> tuple[Stored[Any], ...]:
        if (listing := self._listings.get(namespace)) is None:
            keys = self._keys_in(namespace) if namespace else self._keys
            listing = self._listings[namespace] = tuple(map(self._items.__getitem__, keys))
        return listing

    def _keys_in(self, namespace: str) -> list[str]:
        """`/` ends a namespace, and `0` is the character behind it."""
        first = bisect_left(self._keys, f"{namespace}/")
        return self._keys[first : bisect_right(self._keys, f"{namespace}0", lo=first)]


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _seen_by(selection: Selection, event: CacheEvent) -> StoredEvent[Any] | None:
    """An object that enters or leaves the selection is ADDED or DELETED to its watcher."""
    was = event.before is not None and selection.matches(event.before.obj)
    if event.after is not None and selection.matches(event.after.obj):
        return event.plain if was else event.entered
    return event.left if was else None
