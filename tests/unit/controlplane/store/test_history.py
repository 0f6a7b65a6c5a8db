from dataclasses import replace
from typing import Any

import pytest

from controlplane.registry.interface import Stored
from controlplane.store.history import (
    HISTORY_AGE_S,
    HISTORY_BYTES_MAX,
    HISTORY_EVENTS_MAX,
    STEP_EVENTS,
    CacheEvent,
    FellBehind,
    History,
)
from orch.api.kinds import PODS
from orch.client.client import EventType
from tests.builders import pod


def stored(revision: int) -> Stored[Any]:
    web = pod("web", resource_version=str(revision))
    return Stored(web, revision, PODS.codec.encode(web))


def filled(count: int, floor: int = 10) -> History:
    history = History(floor)
    for number in range(count):
        history.append(CacheEvent(floor + 1 + number, None, None))
    return history


def revisions(history: History, cursor: int, limit: int = 10**6) -> list[int]:
    return [event.revision for event in history.since(cursor, limit)]


def test_a_cursor_begins_behind_a_revision() -> None:
    history = filled(5)
    assert revisions(history, history.cursor_after(10)) == [11, 12, 13, 14, 15]
    assert revisions(history, history.cursor_after(13)) == [14, 15]
    assert revisions(history, history.cursor_after(15)) == []
    assert history.cursor_after(99) == history.end


def test_a_revision_below_the_floor_is_refused() -> None:
    with pytest.raises(FellBehind):
        filled(5).cursor_after(9)


def test_a_reader_takes_as_much_as_it_wants() -> None:
    history = filled(5)
    assert revisions(history, history.cursor_after(10), limit=2) == [11, 12]


def add(history: History, count: int, now: float = 0.0, state: Stored[Any] | None = None) -> None:
    for _ in range(count):
        history.append(CacheEvent(history.end + 11, None, state))
        history.evict(now)


def test_more_events_than_are_kept_push_out_the_oldest() -> None:
    history = filled(0)
    slow = history.cursor_after(10)
    add(history, HISTORY_EVENTS_MAX)
    assert len(revisions(history, slow)) == HISTORY_EVENTS_MAX
    add(history, 1)
    with pytest.raises(FellBehind):
        history.since(slow, 1)
    assert history.floor == 10 + STEP_EVENTS
    assert len(revisions(history, history.cursor_after(history.floor))) == HISTORY_EVENTS_MAX + 1 - STEP_EVENTS


def test_large_objects_push_out_the_oldest_sooner() -> None:
    history, large = filled(0), replace(stored(3), data=b"x" * 1_000_000)
    add(history, 100, state=large)
    kept = len(revisions(history, history.cursor_after(history.floor)))
    assert kept == HISTORY_BYTES_MAX // 1_000_000


def test_events_grow_old() -> None:
    history = filled(0)
    add(history, STEP_EVENTS, now=100.0)
    add(history, 1, now=100.0 + HISTORY_AGE_S)
    assert history.floor == 10
    add(history, 1, now=101.0 + HISTORY_AGE_S)
    assert history.floor == 10 + STEP_EVENTS
    assert len(revisions(history, history.cursor_after(history.floor))) == 2


def test_every_cursor_falls_behind_a_restart() -> None:
    history = filled(5)
    end = history.end
    restarted = history.restarted(floor=50)
    with pytest.raises(FellBehind):
        restarted.since(end, 1)
    with pytest.raises(FellBehind):
        restarted.cursor_after(49)
    assert restarted.cursor_after(50) == restarted.end


def test_a_watcher_without_selectors_sees_what_happened() -> None:
    old, new = stored(3), stored(4)
    assert CacheEvent(3, None, old).plain.type is EventType.ADDED
    assert CacheEvent(4, old, new).plain.type is EventType.MODIFIED
    assert CacheEvent(4, old, new).plain.stored is new
