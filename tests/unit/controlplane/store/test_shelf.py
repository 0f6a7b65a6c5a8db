import asyncio
from typing import Any

import pytest

from controlplane.registry.interface import Stored
from controlplane.registry.listing import selection_of
from controlplane.store.history import FellBehind
from controlplane.store.objects import encode_stored, stored_at
from controlplane.store.shelf import EVERYTHING, Selection, Shelf
from orch.api.kinds import PODS
from orch.client.client import EventType
from tests.builders import pod

LABELLED = Selection(predicate=lambda obj: (obj.metadata.labels or {}).get("app") == "web")


def stored(name: str, revision: int, *, namespace: str = "default", **fields: Any) -> Stored[Any]:
    obj = pod(name, namespace=namespace, **fields)
    return stored_at(obj, encode_stored(PODS, obj), revision)


def filled(*places: str) -> Shelf:
    shelf = Shelf(PODS, 0)
    for revision, place in enumerate(places, 1):
        namespace, name = place.split("/")
        shelf.put(place, stored(name, revision, namespace=namespace), revision)
    return shelf


def names(items: Any) -> list[str]:
    return [f"{item.obj.metadata.namespace}/{item.obj.metadata.name}" for item in items]


def test_lists_are_in_key_order() -> None:
    shelf = filled("b/z", "b-1/a", "a/x", "b/a")
    assert names(shelf.select(EVERYTHING)) == ["a/x", "b-1/a", "b/a", "b/z"]


def test_a_namespace_is_a_part_of_the_order() -> None:
    shelf = filled("b/z", "b-1/a", "a/x", "b/a", "c/a", "bb/a")
    assert names(shelf.select(Selection(namespace="b"))) == ["b/a", "b/z"]
    assert shelf.select(Selection(namespace="none")) == ()


def test_a_list_is_the_same_tuple_until_something_changes() -> None:
    shelf = filled("a/x", "a/y")
    before = shelf.select(EVERYTHING)
    assert shelf.select(EVERYTHING) is before
    shelf.put("a/x", None, 9)
    assert names(shelf.select(EVERYTHING)) == ["a/y"]
    assert names(before) == ["a/x", "a/y"]


def test_one_object_is_found_by_name() -> None:
    shelf = filled("a/x", "a/y", "b/x")
    assert names(shelf.select(Selection(namespace="a", name="x"))) == ["a/x"]
    assert names(shelf.select(Selection(name="x"))) == ["a/x", "b/x"]
    assert shelf.select(Selection(namespace="a", name="x", predicate=lambda obj: False)) == ()


def test_pods_are_found_by_node_through_moves_and_deletes() -> None:
    shelf = Shelf(PODS, 0)
    on_node = Selection(index_value="n1", predicate=lambda obj: obj.spec.node_name == "n1")  # type: ignore[attr-defined]
    shelf.put("default/b", stored("b", 1, node="n1"), 1)
    shelf.put("default/a", stored("a", 2), 2)
    assert names(shelf.select(on_node)) == ["default/b"]
    shelf.put("default/a", stored("a", 3, node="n1"), 3)
    assert names(shelf.select(on_node)) == ["default/a", "default/b"]
    shelf.put("default/b", None, 4)
    assert names(shelf.select(on_node)) == ["default/a"]


def test_watchers_at_one_place_share_their_batch() -> None:
    shelf = filled("a/x", "a/y")
    end, batch = shelf.events(0, EVERYTHING)
    assert shelf.events(0, EVERYTHING) == (end, batch)
    assert shelf.events(0, EVERYTHING)[1] is batch
    assert batch[0].frame is shelf.events(0, EVERYTHING)[1][0].frame
    assert batch[0].frame.startswith(b'{"type":"ADDED","object":{')


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        (None, "web", EventType.ADDED),
        (None, "db", None),
        ("db", "web", EventType.ADDED),
        ("web", "web", EventType.MODIFIED),
        ("web", "db", EventType.DELETED),
        ("db", "db", None),
        ("web", None, EventType.DELETED),
        ("db", None, None),
    ],
)
def test_entering_and_leaving_a_selector(before: str | None, after: str | None, seen: EventType | None) -> None:
    shelf = Shelf(PODS, 0)
    if before:
        shelf.put("default/p", stored("p", 1, labels={"app": before}), 1)
    cursor = shelf.history.end
    shelf.put("default/p", stored("p", 2, labels={"app": after}) if after else None, 2)
    _, events = shelf.events(cursor, LABELLED)
    assert [event.type for event in events] == ([seen] if seen else [])
    if seen is EventType.DELETED:
        assert events[0].stored.obj.metadata.labels == {"app": "web"}
        assert (events[0].stored.revision, events[0].stored.obj.metadata.resource_version) == (2, "2")


async def test_a_reset_shelf_is_empty_and_cuts_its_watchers_off() -> None:
    shelf = filled("a/x")
    cursor = shelf.history.end
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        group.create_task(shelf.change(None))
        await asyncio.sleep(0)
        shelf.reset(9)
    assert shelf.select(EVERYTHING) == ()
    with pytest.raises(FellBehind):
        shelf.events(cursor, EVERYTHING)


async def test_a_wait_for_a_change_ends_at_its_deadline() -> None:
    shelf = filled("a/x")
    async with asyncio.timeout(1):
        await shelf.change(asyncio.get_running_loop().time() + 0.01)


def test_watchers_with_equal_selections_get_the_same_batch() -> None:
    shelf = filled("a/x")
    selections = [selection_of(PODS, "a", "app!=web", "status.phase!=Failed") for _ in range(2)]
    (_, first), (_, second) = (shelf.events(0, selection) for selection in selections)
    assert first is second
    assert [event.type for event in first] == [EventType.ADDED]
    other = shelf.events(0, selection_of(PODS, "a", "app=web", "status.phase!=Failed"))[1]
    assert not other
