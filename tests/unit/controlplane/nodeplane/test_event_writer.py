"""Events from agents into the API."""

from controlplane.nodeplane.event_writer import EventWriter
from orch.api.event import Event
from orch.api.kind import Kind
from orch.api.kinds import EVENTS
from orch.api.shared import ObjectReference
from orch.client.client import Client
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from tests.unit.controlplane.nodeplane.world import api, eventually

ABOUT = ObjectReference(kind="Pod", namespace="default", name="web", uid="web-uid")


def event(message: str, **fields: object) -> Event:
    return Event(**({"involved_object": ABOUT, "type": "Normal", "reason": "Pulled", "message": message} | fields))


class Faulty:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, kind: Kind[Event], obj: Event) -> Event:
        if obj.message == "brings out a fault":
            raise AttributeError("a fault of the program")
        return await self._client.create(kind, obj)


async def counts(client: Client) -> dict[str | None, int | None]:
    return {found.message: found.count for found in (await client.list(EVENTS)).items}


async def test_repetitions_count_up_and_others_stand_alone() -> None:
    async with api() as (admin, client, background):
        writer = EventWriter(client, SystemClock(), SystemIds())
        background.create_task(writer.run())
        for message in ("again", "again", "once", "again"):
            writer.submit(event(message))

        async def all_written() -> bool:
            return await counts(admin) == {"again": 3, "once": 1}

        await eventually(all_written)
        names = [found.metadata.name for found in (await admin.list(EVENTS)).items]
    assert all(name.startswith("web.") for name in names)


async def test_a_repetition_of_what_is_gone_starts_again() -> None:
    async with api() as (admin, client, background):
        writer = EventWriter(client, SystemClock(), SystemIds())
        background.create_task(writer.run())
        writer.submit(event("a"))

        async def is_written() -> bool:
            return await counts(admin) == {"a": 1}

        await eventually(is_written)
        (found,) = (await admin.list(EVENTS)).items
        await admin.delete(EVENTS, found.metadata.name, "default")
        writer.submit(event("a"))
        await eventually(is_written)


async def test_an_event_that_is_refused_stops_nothing() -> None:
    async with api() as (admin, client, background):
        writer = EventWriter(client, SystemClock(), SystemIds())
        background.create_task(writer.run())
        writer.submit(event("bad", involved_object=ObjectReference(kind="Pod", namespace="nowhere", name="web")))
        writer.submit(event("good"))

        async def is_written() -> bool:
            return await counts(admin) == {"good": 1}

        await eventually(is_written)


async def test_an_event_that_brings_out_a_fault_is_dropped_and_the_next_is_written() -> None:
    async with api() as (admin, client, background):
        writer = EventWriter(Faulty(client), SystemClock(), SystemIds())  # type: ignore[arg-type]
        background.create_task(writer.run())
        writer.submit(event("brings out a fault"))
        writer.submit(event("fine"))

        async def only_the_other_is_written() -> bool:
            return await counts(admin) == {"fine": 1}

        await eventually(only_the_other_is_written)
