"""All objects of one kind in memory: by key, in order, by one indexed field, with their recent events.

Synchronous throughout: between two awaits of anybody the shelf is at one revision. A page of objects is a tuple made
once and shared until something changes; objects themselves are never changed.
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

INDEXED_FIELDS = {("", "pods"): "spec.nodeName"}
"""One field per kind that lists are often narrowed by: every node asks for its own pods."""

WATCH_BATCH_EVENTS_MAX = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch wants. `index_value` narrows by the indexed field, which `predicate` tests as well."""

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


class Shelf:
    """`changed` is set, and replaced, whenever events were added."""

    def __init__(self, kind: Kind[Any], floor: int) -> None:
        self.kind = kind
        self.history = History(floor)
        self.changed = asyncio.Event()
        self.changed_revision = floor
        """Of the newest write of any object of this kind."""
        self._items: dict[str, Stored[Any]] = {}
        self._keys: list[str] = []
        self._listings: dict[str, tuple[Stored[Any], ...]] = {}
        self._shared_batch: tuple[int, int, Sequence[StoredEvent[Any]]] = (0, 0, ())
        path = INDEXED_FIELDS.get((kind.group, kind.plural), "")
        self._index_field = kind.fields.get(path) if path else None
        self._index: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, namespace: str, name: str) -> Stored[Any] | None:
        return self._items.get(f"{namespace}/{name}")

    def select(self, selection: Selection) -> tuple[Stored[Any], ...]:
        """In key order."""
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
        if not selection.is_everything:
            return end, [seen for event in events if (seen := _seen_by(selection, event))]
        if self._shared_batch[:2] != (cursor, end):
            self._shared_batch = (cursor, end, [event.plain for event in events])
        return end, self._shared_batch[2]

    def put(self, key: str, after: Stored[Any] | None, revision: int) -> None:
        """One write, in order. `key` is namespace/name."""
        before = self._items.get(key)
        if after is None and before is None:
            return
        self._store(key, before, after)
        self._listings.clear()
        self.changed_revision = revision
        self.history.append(CacheEvent(revision, before, after))

    def load(self, key: str, stored: Stored[Any]) -> None:
        """An object of the initial state: it is there, but was no event."""
        self._store(key, self._items.get(key), stored)
        self._listings.clear()

    def wake(self, now: float) -> None:
        """After a step of writes: lets every watcher look."""
        self.history.evict(now)
        self._notify()

    def reset(self, floor: int) -> None:
        """Forgets everything; every watcher falls behind."""
        self._items.clear()
        self._keys.clear()
        self._listings.clear()
        self._index.clear()
        self.changed_revision = floor
        self.history = self.history.restarted(floor)
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

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


def _seen_by(selection: Selection, event: CacheEvent) -> StoredEvent[Any] | None:
    """An object that enters or leaves the selection is ADDED or DELETED to its watcher."""
    was = event.before is not None and selection.matches(event.before.obj)
    if event.after is not None and selection.matches(event.after.obj):
        return event.plain if was else event.entered
    return event.left if was else None
