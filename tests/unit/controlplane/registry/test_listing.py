"""LIST and watch: resourceVersion semantics, pages, selectors (Kubernetes API concepts, "Resource versions")."""

import asyncio
from typing import Any

import pytest

from controlplane.registry.interface import ListOptions, WatchOptions
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, NODES, PODS
from orch.api.meta import ObjectMeta
from orch.client.client import EventType
from orch.errors import BadRequest, Expired, Invalid, Timeout, from_status
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, new_node, new_pod, take, world

TOKEN = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhL2IifQ"
"""Of revision 1, behind a/b."""


async def create(w: World, *names: str, **meta: Any) -> int:
    for name in names:
        metadata = ObjectMeta(name=name, namespace="default", **meta)
        created = await w.admin.create(CONFIGMAPS, ConfigMap(metadata=metadata))
    return int(created.metadata.resource_version)


async def listed(w: World, namespace: str = "default", **options: Any) -> list[str]:
    listing = await w.parts.api.list(w.context(), CONFIGMAPS, namespace, ListOptions(**options))
    return [item.obj.metadata.name for item in listing.items]


# Selectors


@virtual
async def test_label_and_field_selectors() -> None:
    async with world() as w:
        await create(w, "a", "b", labels={"app": "web"})
        await create(w, "c")
        assert await listed(w) == ["a", "b", "c"]
        assert await listed(w, label_selector="app=web") == ["a", "b"]
        assert await listed(w, label_selector="!app") == ["c"]
        assert await listed(w, field_selector="metadata.name=b") == ["b"]
        assert await listed(w, field_selector="metadata.name!=b", label_selector="app") == ["a"]
        assert await listed(w, namespace="", field_selector="metadata.namespace=default") == ["a", "b", "c"]
        assert await listed(w, namespace="kube-system") == []


@virtual
async def test_pods_of_a_node() -> None:
    async with world() as w:
        await w.admin.create(NODES, new_node("n1"))
        for name in ("a", "b"):
            await w.admin.create(PODS, new_pod(name))
        await w.admin.create_subresource(PODS, "b", "default", "binding", {"target": {"name": "n1"}})
        for selector, names in (("spec.nodeName=n1", ["b"]), ("spec.nodeName=", ["a"]), ("spec.nodeName!=n1", ["a"])):
            page = await w.admin.list(PODS, field_selector=selector)
            assert [item.metadata.name for item in page.items] == names


@pytest.mark.parametrize("options", [{"label_selector": "a in"}, {"field_selector": "spec.unknown=1"}])
def test_bad_selectors(options: dict[str, str]) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            with pytest.raises(BadRequest):
                await listed(w, **options)
            with pytest.raises(BadRequest):
                async with w.parts.api.watch(w.context(), CONFIGMAPS, "", WatchOptions(**options)):
                    pytest.fail("the watch was let in")

    scenario()


# Revisions


@virtual
async def test_which_revision_a_list_shows() -> None:
    async with world() as w:
        first = await create(w, "a")
        await create(w, "b")
        assert await listed(w, resource_version="0") == ["a", "b"]
        assert await listed(w, resource_version=str(first)) == ["a", "b"]
        assert await listed(w, resource_version=str(first), resource_version_match="NotOlderThan") == ["a", "b"]
        assert await listed(w, resource_version=str(first), resource_version_match="Exact") == ["a"]
        assert await listed(w, resource_version=str(first), limit=5) == ["a"]


@virtual
async def test_the_future_and_the_forgotten() -> None:
    async with world() as w:
        first = await create(w, "a")
        last = await create(w, "b")
        for options in (
            {"resource_version": "99999"},
            {"resource_version": "99999", "resource_version_match": "Exact"},
        ):
            with pytest.raises(Timeout, match="Too large resource version: 99999"):
                await listed(w, **options)
        with pytest.raises(Timeout):
            await w.admin.get(CONFIGMAPS, "a", "default", resource_version="99999")
        with pytest.raises(Timeout):
            async with w.admin.watch(CONFIGMAPS, resource_version="99999"):
                pytest.fail("the watch was let in")
        await w.backend.compact(last)
        with pytest.raises(Expired):
            await listed(w, resource_version=str(first), resource_version_match="Exact")


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"resource_version": "x"}, BadRequest),
        ({"resource_version": "-1"}, BadRequest),
        ({"resource_version_match": "Exact"}, Invalid),
        ({"resource_version": "1", "resource_version_match": "Nearly"}, Invalid),
        ({"resource_version": "0", "resource_version_match": "Exact"}, Invalid),
        ({"continue_token": "nonsense"}, BadRequest),
        ({"continue_token": "e30"}, BadRequest),
        ({"continue_token": TOKEN, "resource_version": "5"}, BadRequest),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: dict[str, str], refusal: type[Exception]) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            with pytest.raises(refusal):
                await listed(w, **options)

    scenario()


# Pages


async def all_pages(w: World, limit: int, **options: Any) -> list[list[str]]:
    pages, token = [], ""
    while True:
        page = await w.admin.list(CONFIGMAPS, "default", limit=limit, continue_token=token, **options)
        pages.append([item.metadata.name for item in page.items])
        if not (token := page.continue_token):
            return pages


@virtual
async def test_pages_and_how_much_remains() -> None:
    async with world() as w:
        await create(w, *"abcde")
        page = await w.admin.list(CONFIGMAPS, "default", limit=2)
        assert (page.remaining, bool(page.continue_token)) == (3, True)
        assert await all_pages(w, 2) == [["a", "b"], ["c", "d"], ["e"]]
        assert await all_pages(w, 5) == [["a", "b", "c", "d", "e"]]
        selected = await w.admin.list(CONFIGMAPS, "default", limit=2, label_selector="!x")
        assert (selected.remaining, bool(selected.continue_token)) == (None, True)


@virtual
async def test_pages_show_the_state_of_the_first_page() -> None:
    async with world() as w:
        await create(w, *"abcde", labels={"app": "web"})
        for options in ({}, {"label_selector": "app=web"}):
            first = await w.admin.list(CONFIGMAPS, "default", limit=2, **options)
            await w.admin.delete(CONFIGMAPS, "d", "default")
            await create(w, "cc", labels={"app": "web"})
            rest = await w.admin.list(CONFIGMAPS, "default", limit=10, continue_token=first.continue_token, **options)
            assert [item.metadata.name for item in rest.items] == ["c", "d", "e"]
            assert rest.resource_version == first.resource_version
            assert not rest.continue_token
            await w.admin.delete(CONFIGMAPS, "cc", "default")
            await create(w, "d", labels={"app": "web"})


@virtual
async def test_pages_end_when_their_revision_is_compacted() -> None:
    async with world() as w:
        await create(w, *"abcde")
        first = await w.admin.list(CONFIGMAPS, "default", limit=2)
        await w.backend.compact(await create(w, "f"))
        with pytest.raises(Expired) as refused:
            await w.admin.list(CONFIGMAPS, "default", limit=2, continue_token=first.continue_token)
        now = refused.value.continue_token
        assert from_status(refused.value.to_status()).continue_token == now
        rest = await w.admin.list(CONFIGMAPS, "default", limit=3, continue_token=now)
        assert [item.metadata.name for item in rest.items] == ["c", "d", "e"]
        last = await w.admin.list(CONFIGMAPS, "default", limit=3, continue_token=rest.continue_token)
        assert [item.metadata.name for item in last.items] == ["f"]


@virtual
async def test_pages_of_all_namespaces_cross_their_borders() -> None:
    async with world() as w:
        for namespace in ("default", "kube-public", "kube-system"):
            for name in ("a", "b"):
                await w.admin.create(CONFIGMAPS, ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace)))
        seen, token = [], ""
        while True:
            page = await w.admin.list(CONFIGMAPS, limit=3, continue_token=token)
            seen += [(item.metadata.namespace, item.metadata.name) for item in page.items]
            if not (token := page.continue_token):
                break
            await w.admin.create(CONFIGMAPS, ConfigMap(metadata=ObjectMeta(name="z", namespace="default")))
        assert seen == [(ns, name) for ns in ("default", "kube-public", "kube-system") for name in ("a", "b")]


# Watches


@virtual
async def test_a_watch_with_a_selector_follows_objects_in_and_out() -> None:
    async with world() as w:
        revision = await create(w, "a")
        async with w.admin.watch(
            CONFIGMAPS, "default", label_selector="app=web", resource_version=str(revision)
        ) as events:
            await w.admin.patch(CONFIGMAPS, "a", "default", {"metadata": {"labels": {"app": "web"}}})
            await w.admin.patch(CONFIGMAPS, "a", "default", {"data": {"k": "v"}})
            await w.admin.patch(CONFIGMAPS, "a", "default", {"metadata": {"labels": None}})
            found = await take(events, 3)
        assert [event.type for event in found] == [EventType.ADDED, EventType.MODIFIED, EventType.DELETED]
        assert found[2].obj.metadata.labels == {"app": "web"}


@virtual
async def test_a_watch_from_nothing_begins_with_what_is_there() -> None:
    async with world() as w:
        await create(w, "a", "b")
        for version in ("", "0"):
            async with w.admin.watch(CONFIGMAPS, "default", resource_version=version) as events:
                assert [event.obj.metadata.name for event in await take(events, 2)] == ["a", "b"]


@virtual
async def test_list_then_watch_misses_nothing_while_others_write() -> None:
    async with world() as w, asyncio.TaskGroup() as group:
        group.create_task(create(w, *(f"c{number:02}" for number in range(40))))
        await asyncio.sleep(0)
        page = await w.admin.list(CONFIGMAPS, "default")
        names = [item.metadata.name for item in page.items]
        async with w.admin.watch(CONFIGMAPS, "default", resource_version=page.resource_version) as events:
            names += [event.obj.metadata.name for event in await take(events, 40 - len(names))]
        assert names == [f"c{number:02}" for number in range(40)]
