"""Events go by themselves, in virtual time."""

import asyncio

import pytest
from msgspec.structs import replace

from controlplane.store.backend import StoreUnavailable
from controlplane.store.leases import LEASE_BUCKET_S
from controlplane.store.memory import MemoryBackend
from orch.api.configmap import ConfigMap
from orch.api.event import Event
from orch.api.kinds import CONFIGMAPS, EVENTS
from orch.api.meta import ObjectMeta
from orch.api.shared import ObjectReference
from orch.client.client import EventType
from orch.errors import ServiceUnavailable
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, take, world

TTL_S = 3600


class CountingBackend(MemoryBackend):
    def __init__(self) -> None:
        super().__init__()
        self.granted: list[int] = []
        self.cut = False

    async def grant_lease(self, ttl_s: int) -> int:
        if self.cut:
            raise StoreUnavailable("cut off")
        self.granted.append(ttl_s)
        return await super().grant_lease(ttl_s)


def event(name: str) -> Event:
    involved = ObjectReference(kind="Pod", name="pod", namespace="default")
    return Event(metadata=ObjectMeta(name=name, namespace="default"), involved_object=involved, reason="Started")


async def present(w: World) -> list[str]:
    return [item.metadata.name for item in (await w.admin.list(EVENTS)).items]


@virtual
async def test_an_event_goes_after_its_time_and_its_watchers_are_told() -> None:
    async with world(event_ttl_s=TTL_S) as w:
        await w.admin.create(CONFIGMAPS, ConfigMap(metadata=ObjectMeta(name="stays", namespace="default")))
        created = await w.admin.create(EVENTS, event("a"))
        async with w.admin.watch(EVENTS, resource_version=created.metadata.resource_version, bookmarks=False) as seen:
            await asyncio.sleep(TTL_S - 1)
            assert await present(w) == ["a"]
            await asyncio.sleep(LEASE_BUCKET_S + 2)
            assert await present(w) == []
            [gone] = await take(seen, 1)
        assert (gone.type, gone.obj.metadata.name) == (EventType.DELETED, "a")
        assert await w.admin.get(CONFIGMAPS, "stays", "default")


@virtual
async def test_an_event_that_happens_again_stays_longer() -> None:
    async with world(event_ttl_s=TTL_S) as w:
        created = await w.admin.create(EVENTS, event("a"))
        await asyncio.sleep(TTL_S / 2)
        await w.admin.update(EVENTS, replace(created, count=2))
        await asyncio.sleep(TTL_S - 1)
        assert await present(w) == ["a"]
        await asyncio.sleep(LEASE_BUCKET_S + 2)
        assert await present(w) == []


@virtual
async def test_events_of_five_minutes_share_a_lease() -> None:
    store = CountingBackend()
    async with world(store, event_ttl_s=TTL_S) as w:
        await asyncio.gather(*(w.admin.create(EVENTS, event(f"a{n}")) for n in range(20)))
        assert store.granted == [TTL_S + LEASE_BUCKET_S]
        await asyncio.sleep(LEASE_BUCKET_S)
        await w.admin.create(EVENTS, event("b"))
        assert len(store.granted) == 2


@virtual
async def test_without_a_lease_nothing_was_written() -> None:
    store = CountingBackend()
    async with world(store) as w:
        store.cut = True
        with pytest.raises(ServiceUnavailable) as refusal:
            await w.admin.create(EVENTS, event("a"))
        assert refusal.value.retry_after_s == 1
        assert await present(w) == []
