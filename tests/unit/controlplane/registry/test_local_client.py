import asyncio

import pytest

from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, PODS
from orch.api.meta import ObjectMeta
from orch.client.client import EventType
from orch.client.informer import Informer
from orch.errors import Invalid
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import new_pod, take, world


def config(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


@virtual
async def test_every_reader_gets_the_cached_object_itself() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config("c"))
        cached = w.parts.cache.get(CONFIGMAPS, "default", "c")
        assert cached is not None
        assert created is cached.obj
        assert await w.admin.get(CONFIGMAPS, "c", "default") is cached.obj
        assert (await w.admin.list(CONFIGMAPS)).items[0] is cached.obj
        async with w.admin.watch(CONFIGMAPS, resource_version="0") as events:
            assert (await take(events, 1))[0].obj is cached.obj


@virtual
async def test_an_idle_watch_ends_when_it_is_cancelled() -> None:
    async with world() as w:
        async with w.admin.watch(CONFIGMAPS, resource_version="0") as events, asyncio.TaskGroup() as group:
            waiting = group.create_task(take(events, 1))
            await asyncio.sleep(1)
            waiting.cancel()
        await w.admin.create(CONFIGMAPS, config("c"))


@virtual
async def test_an_informer_follows_it() -> None:
    async with world() as w, asyncio.TaskGroup() as group:
        informer = Informer(w.admin, CONFIGMAPS)
        running = group.create_task(informer.run())
        await informer.synced.wait()
        created = await w.admin.create(CONFIGMAPS, config("c"))
        await informer.reached(int(created.metadata.resource_version))
        assert informer.get("default", "c") is created
        running.cancel()


@virtual
async def test_errors_are_those_of_the_api() -> None:
    async with world() as w:
        with pytest.raises(Invalid):
            await w.admin.create(PODS, new_pod(spec={"containers": ()}))
        async with w.admin.watch(PODS, resource_version="0") as events:
            await w.admin.create(PODS, new_pod())
            assert [event.type for event in await take(events, 1)] == [EventType.ADDED]
