"""The informer on a scripted client: list, watch, resume, expiry, what handlers hear, waiting for revisions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orch.api.kinds import PODS
from orch.api.pod.spec import Pod
from orch.client.client import EventType, ListPage, WatchEvent
from orch.client.informer import Informer, Informers
from orch.errors import Expired, ServiceUnavailable
from orch.kit.tasks import forever
from tests.builders import deleting, pod
from tests.sim.virtual_loop import virtual


def at(revision: int, name: str, *, uid: str = "", **fields: Any) -> Pod:
    return pod(name, resource_version=str(revision), uid=uid or f"{name}-uid", **fields)


def event(type_: EventType, obj: Pod) -> WatchEvent[Pod]:
    return WatchEvent(type_, obj)


class ScriptedClient:
    """`lists` and `watches` are used up one by one; an exception among them is raised. The last watch never ends."""

    def __init__(self, lists: Sequence[Any], watches: Sequence[Any]) -> None:
        self._lists, self._watches = list(lists), list(watches)
        self.asked: list[str] = []

    async def list(self, kind: Any, namespace: str = "", **options: Any) -> ListPage[Pod]:
        self.asked.append(f"list {options['continue_token']}".strip())
        page = self._lists.pop(0)
        if isinstance(page, Exception):
            raise page
        assert isinstance(page, ListPage)
        return page

    @asynccontextmanager
    async def watch(self, kind: Any, namespace: str = "", **options: Any) -> AsyncIterator[AsyncIterator[Any]]:
        self.asked.append(f"watch {options['resource_version']}")
        script = self._watches.pop(0) if self._watches else None
        if isinstance(script, Exception):
            raise script
        yield self._events(script)

    async def _events(self, script: Sequence[Any] | None) -> AsyncIterator[Any]:
        for each in script or ():
            if isinstance(each, Exception):
                raise each
            await asyncio.sleep(0.01)
            yield each
        if script is None:
            await asyncio.Event().wait()


async def informed(client: ScriptedClient, seconds: float = 5) -> tuple[Informer[Pod], list[tuple[str, str]]]:
    """The informer after a while, and what its handler heard: (name and revision before, after)."""
    informer = Informer(client, PODS)  # type: ignore[arg-type]
    heard: list[tuple[str, str]] = []
    informer.add_handler(lambda old, new: heard.append((said(old), said(new))))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(forever("informer", informer.run))
        await asyncio.sleep(seconds)
        task.cancel()
    return informer, heard


def said(obj: Pod | None) -> str:
    return f"{obj.metadata.name}@{obj.metadata.resource_version}" if obj else ""


@virtual
async def test_list_in_pages_then_watch() -> None:
    pages = [ListPage((at(1, "a"),), "7", "next"), ListPage((at(2, "b"),), "7")]
    added, gone = event(EventType.ADDED, at(8, "c")), event(EventType.DELETED, at(9, "a"))
    client = ScriptedClient(pages, [[added, gone, event(EventType.BOOKMARK, at(20, ""))], None])
    informer, heard = await informed(client)
    assert client.asked == ["list", "list next", "watch 7", "watch 20"]
    assert heard == [("", "a@1"), ("", "b@2"), ("", "c@8"), ("a@1", "")]
    assert [each.metadata.name for each in informer.items()] == ["b", "c"]
    assert informer.revision == 20
    assert informer.synced.is_set()


@virtual
async def test_after_expiry_the_difference_is_reported() -> None:
    """1. a and b are known. 2. While nobody watched, a went, b was replaced by another b, c came. 3. The watch has
    expired, and the new list tells it all."""
    first = ListPage((at(1, "a"), at(2, "b")), "2")
    second = ListPage((at(9, "b", uid="new"), at(8, "c")), "9")
    client = ScriptedClient([first, second], [Expired("too old")])
    informer, heard = await informed(client)
    assert heard[2:] == [("a@1", ""), ("b@2", ""), ("", "b@9"), ("", "c@8")]
    assert informer.by_uid("b-uid") is None
    assert informer.get("default", "b") is informer.by_uid("new")


@virtual
async def test_a_broken_watch_resumes_without_a_list() -> None:
    change = event(EventType.MODIFIED, at(3, "a"))
    client = ScriptedClient([ListPage((at(1, "a"),), "2")], [[change, ServiceUnavailable("gone")], None])
    _, heard = await informed(client)
    assert client.asked == ["list", "watch 2", "watch 3"]
    assert heard == [("", "a@1"), ("a@1", "a@3")]


@virtual
async def test_a_refused_list_is_tried_again_with_backoff() -> None:
    refusals = [ServiceUnavailable("not yet")] * 4
    client = ScriptedClient([*refusals, ListPage((), "5")], [])
    informer, _ = await informed(client, seconds=0.7)
    assert client.asked.count("list") == 4
    informer, _ = await informed(ScriptedClient([*refusals, ListPage((), "5")], []), seconds=0.8)
    assert informer.revision == 5


@virtual
async def test_an_object_seen_twice_is_reported_once() -> None:
    again = event(EventType.ADDED, at(1, "a"))
    _, heard = await informed(ScriptedClient([ListPage((at(1, "a"),), "1")], [[again], None]))
    assert heard == [("", "a@1")]


@virtual
async def test_indexes_follow_changes_and_begin_with_what_is_there() -> None:
    moved = event(EventType.MODIFIED, at(5, "a", node="n2"))
    client = ScriptedClient([ListPage((at(1, "a", node="n1"), at(2, "b", node="n1")), "2")], [[moved], None])
    informer = Informer(client, PODS)  # type: ignore[arg-type]
    index = informer.add_index("node", lambda each: (each.spec.node_name or "",))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(forever("informer", informer.run))
        await asyncio.sleep(1)
        task.cancel()
    assert [each.metadata.name for each in index.get("n1")] == ["b"]
    assert [each.metadata.name for each in informer.indexed("node", "n2")] == ["a"]
    late = informer.add_index("name", lambda each: (each.metadata.name,))
    assert late.count("a") == 1
    assert [each.metadata.name for each in informer.by_namespace("default")] == ["a", "b"]


@virtual
async def test_waiting_for_a_revision_and_for_a_deletion() -> None:
    going = deleting(at(4, "a"))
    changes = [event(EventType.MODIFIED, at(3, "a")), event(EventType.MODIFIED, going)]
    client = ScriptedClient([ListPage((at(1, "a"),), "1")], [changes, None])
    informer = Informer(client, PODS)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(forever("informer", informer.run))
        await informer.reached(3)
        seen = informer.get("default", "a")
        assert seen is not None
        assert seen.metadata.resource_version == "3"
        await informer.deletion_seen("default", "a", "a-uid")
        assert informer.revision == 4
        await informer.deletion_seen("default", "a", "another-uid")
        await informer.reached(2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await informer.reached(5)
        task.cancel()


def test_informers_are_shared_by_kind() -> None:
    informers = Informers(ScriptedClient([], []))  # type: ignore[arg-type]
    assert not informers.has(PODS)
    assert informers.of(PODS) is informers.of(PODS)
    assert informers.has(PODS)
    assert [each.kind.plural for each in informers] == ["pods"]
