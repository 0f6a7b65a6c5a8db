import pytest

from controlplane.registry.interface import Stored
from controlplane.store.history import (
    EVICTION_STEP_EVENTS,
    HISTORY_AGE_S,
    HISTORY_EVENTS_MAX,
    CacheEvent,
    FellBehind,
    History,
)
from orch.api.kinds import PODS
from orch.client.client import EventType
from tests.builders import pod


def stored(revision: int) -> Stored[object]:
    web = pod("web", resource_version=str(revision))
    return Stored(web, revision, PODS.codec.encode(web).replace(b'"metadata":{', b'"metadata":{', 1))  # type: ignore[type-var]


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


def test_more_events_than_are_kept_push_out_the_oldest() -> None:
    history = filled(HISTORY_EVENTS_MAX + 2 * EVICTION_STEP_EVENTS)
    slow, quick = history.cursor_after(10), history.end
    history.evict(0.0)
    with pytest.raises(FellBehind):
        history.since(slow, 1)
    assert revisions(history, quick) == []
    assert history.floor == 10 + 2 * EVICTION_STEP_EVENTS
    assert len(revisions(history, history.cursor_after(history.floor))) == HISTORY_EVENTS_MAX


def test_events_grow_old() -> None:
    history = filled(EVICTION_STEP_EVENTS)
    history.evict(100.0)
    history.evict(100.0 + HISTORY_AGE_S)
    assert history.floor == 10
    history.append(CacheEvent(9999, None, None))
    history.evict(101.0 + HISTORY_AGE_S)
    assert history.floor == 10 + EVICTION_STEP_EVENTS
    assert revisions(history, history.cursor_after(history.floor)) == [9999]


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
