"""The recent events of one kind, in order: one shared log, into which every watcher keeps a cursor.

Nothing is queued per watcher. The log is bounded in time and in number; a watcher whose cursor falls out of it has been
too slow and has to list again.
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
"""Per kind. At 5 KB a pod this bounds a burst to about 100 MB."""
EVICTION_STEP_EVENTS = 512
"""Events leave in such steps, so that moving the rest of the log costs nothing per event."""


class FellBehind(Exception):
    """The cursor points to events that are no longer kept."""


@dataclass(frozen=True)
class CacheEvent:
    """One write of one object: its state before and after; one of them may be absent, never both."""

    revision: int
    before: Stored[Any] | None
    after: Stored[Any] | None

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


class History:
    """`floor` is the revision up to which events are missing: a watch may resume from it or later."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._events: list[CacheEvent] = []
        self._first = 0
        self._marks: deque[tuple[float, int]] = deque()

    @property
    def end(self) -> int:
        """The cursor behind the newest event."""
        return self._first + len(self._events)

    def append(self, event: CacheEvent) -> None:
        self._events.append(event)

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
        if not self._marks or self._marks[-1][1] + EVICTION_STEP_EVENTS <= self.end:
            self._marks.append((now, self.end))
        keep_from = self.end - HISTORY_EVENTS_MAX
        while self._marks and self._marks[0][0] < now - HISTORY_AGE_S:
            keep_from = max(keep_from, self._marks.popleft()[1])
        if keep_from >= self._first + EVICTION_STEP_EVENTS:
            self._drop_before(keep_from)

    def _drop_before(self, cursor: int) -> None:
        count = cursor - self._first
        self.floor = self._events[count - 1].revision
        del self._events[:count]
        self._first = cursor
