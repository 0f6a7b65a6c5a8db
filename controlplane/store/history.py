"""The recent events of one kind, in order: one shared log, into which every watcher keeps a cursor.

Nothing is queued per watcher. The log is bounded in time, number and bytes; a watcher whose cursor falls out of it has
been too slow and has to list again.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from controlplane.registry.interface import Stored, StoredEvent
from controlplane.store.objects import moved_to
from orch.client.client import EventType

HISTORY_AGE_S = 300.0
HISTORY_EVENTS_MAX = 20_000
HISTORY_BYTES_MAX = 16 * 1024 * 1024
"""Of JSON, per kind. With its decoded object and its frame an event takes about six times as much memory."""
STEP_EVENTS, STEP_BYTES = 512, 512 * 1024
"""Events leave in steps of this size, so that moving the rest of the log costs nothing per event."""


class FellBehind(Exception):
    """The cursor points to events that are no longer kept."""


@dataclass(frozen=True)
class CacheEvent:
    """One write of one object: its state before and after; one of them may be absent, never both."""

    revision: int
    before: Stored[Any] | None
    after: Stored[Any] | None

    @property
    def size_bytes(self) -> int:
        state = self.after or self.before
        return len(state.data) if state else 0

    @cached_property
    def plain(self) -> StoredEvent[Any]:
        """As a watcher without selectors sees it."""
        if self.after is None:
            return self.left
        if self.before is None:
            return self.entered
        return StoredEvent(EventType.MODIFIED, self.after)

    @cached_property
    def entered(self) -> StoredEvent[Any]:
        assert self.after is not None
        return StoredEvent(EventType.ADDED, self.after)

    @cached_property
    def left(self) -> StoredEvent[Any]:
        """The state before, with the revision at which it ended."""
        assert self.before is not None
        return StoredEvent(EventType.DELETED, moved_to(self.before, self.revision))


@dataclass(frozen=True, slots=True)
class _Mark:
    """At `time_s` all events before `cursor` had been added, `bytes` in all since the log began."""

    time_s: float
    cursor: int
    bytes: int


class History:
    """`floor` is the revision up to which events are missing: a watch may resume from it or later."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._events: list[CacheEvent] = []
        self._first = 0
        self._bytes_added = 0
        self._bytes_dropped = 0
        self._marks: deque[_Mark] = deque()

    @property
    def end(self) -> int:
        """The cursor behind the newest event."""
        return self._first + len(self._events)

    def append(self, event: CacheEvent) -> None:
        self._events.append(event)
        self._bytes_added += event.size_bytes

    def cursor_after(self, revision: int) -> int:
        """Raises FellBehind when events after `revision` are missing."""
        if revision < self.floor:
            raise FellBehind
        return self._first + bisect_right(self._events, revision, key=lambda event: event.revision)

    def since(self, cursor: int, limit: int) -> Sequence[CacheEvent]:
        """Raises FellBehind."""
        if cursor < self._first:
            raise FellBehind
        start = cursor - self._first
        return self._events[start : start + limit]

    def restarted(self, floor: int) -> "History":
        """An empty log in whose place every cursor into this one has fallen behind."""
        restarted = History(floor)
        restarted._first = self.end + 1
        return restarted

    def evict(self, now: float) -> None:
        """To be called after appending; `now` in monotonic seconds."""
        last = self._marks[-1] if self._marks else _Mark(now, self._first, self._bytes_dropped)
        if self.end - last.cursor >= STEP_EVENTS or self._bytes_added - last.bytes >= STEP_BYTES:
            self._marks.append(_Mark(now, self.end, self._bytes_added))
        while self._marks and self._is_too_much(now - self._marks[0].time_s):
            self._drop_before(self._marks.popleft())

    def _is_too_much(self, oldest_age_s: float) -> bool:
        return (
            oldest_age_s > HISTORY_AGE_S
            or len(self._events) > HISTORY_EVENTS_MAX
            or self._bytes_added - self._bytes_dropped > HISTORY_BYTES_MAX
        )

    def _drop_before(self, mark: _Mark) -> None:
        count = mark.cursor - self._first
        self.floor = self._events[count - 1].revision
        del self._events[:count]
        self._first, self._bytes_dropped = mark.cursor, mark.bytes
