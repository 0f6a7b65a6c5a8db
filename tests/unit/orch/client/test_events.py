"""Events: counted when equal, bounded per object and over time, written again when they have vanished."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orch.api.event import Event
from orch.api.kind import Kind
from orch.api.kinds import EVENTS
from orch.client.client import Client
from orch.client.events import PENDING_MAX, PER_OBJECT_BURST_MAX, WRITES_BURST_MAX, EventRecorder, TokenBucket
from orch.kit.tasks import forever
from tests.builders import node, pod
from tests.sim.virtual_loop import virtual
from tests.world import World, world


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[World, EventRecorder]]:
    async with world() as made, asyncio.TaskGroup() as tasks:
        recorder = EventRecorder(made.client, made.clock, made.ids, component="test")
        task = tasks.create_task(forever("events", recorder.run))
        yield made, recorder
        task.cancel()


async def events(made: World, namespace: str = "default") -> list[Event]:
    return list((await made.client.list(EVENTS, namespace)).items)


@virtual
async def test_an_event_names_its_object() -> None:
    async with recording() as (made, recorder):
        recorder.record(pod("p"), "Normal", "Scheduled", "to node-1", action="Binding")
        await asyncio.sleep(1)
        (event,) = await events(made)
        about = event.involved_object
        assert (about.kind, about.namespace, about.name, about.uid) == ("Pod", "default", "p", "p-uid")
        assert (event.type, event.reason, event.message, event.count) == ("Normal", "Scheduled", "to node-1", 1)
        assert (event.reporting_component, event.source.component, event.action) == ("test", "test", "Binding")
        assert event.metadata.name.startswith("p.")


@virtual
async def test_equal_events_are_one_with_a_count() -> None:
    async with recording() as (made, recorder):
        for _ in range(3):
            recorder.record(pod("p"), "Warning", "FailedScheduling", "0/3 nodes")
            await asyncio.sleep(60)
        recorder.record(pod("p"), "Warning", "FailedScheduling", "0/4 nodes")
        await asyncio.sleep(1)
        first, second = sorted(await events(made), key=lambda each: each.message or "")
        assert (first.count, second.count) == (3, 1)
        assert first.first_timestamp is not None
        assert first.last_timestamp is not None
        assert (first.last_timestamp - first.first_timestamp).total_seconds() == 120


@virtual
async def test_an_event_that_vanished_is_made_anew() -> None:
    async with recording() as (made, recorder):
        recorder.record(pod("p"), "Normal", "Scheduled", "to node-1")
        await asyncio.sleep(1)
        (event,) = await events(made)
        await made.client.delete(EVENTS, event.metadata.name, "default")
        recorder.record(pod("p"), "Normal", "Scheduled", "to node-1")
        await asyncio.sleep(1)
        (again,) = await events(made)
        assert again.metadata.uid != event.metadata.uid
        assert again.count == 1


@virtual
async def test_events_about_nodes_are_in_the_default_namespace() -> None:
    async with recording() as (made, recorder):
        recorder.record(node("n"), "Normal", "NodeReady", "ready")
        await asyncio.sleep(1)
        (event,) = await events(made)
        assert event.involved_object.namespace is None


@virtual
async def test_a_chatty_object_is_bounded() -> None:
    async with recording() as (made, recorder):
        for number in range(3 * PER_OBJECT_BURST_MAX):
            recorder.record(pod("p"), "Normal", "Again", f"number {number}")
        await asyncio.sleep(5)
        assert len(await events(made)) == PER_OBJECT_BURST_MAX


@virtual
async def test_a_burst_is_paced_and_what_does_not_fit_is_dropped() -> None:
    async with recording() as (made, recorder):
        for number in range(2 * PENDING_MAX):
            recorder.record(pod(f"p{number}"), "Normal", "Scheduled", "somewhere")
        await asyncio.sleep(0.1)
        early = len(await events(made))
        assert WRITES_BURST_MAX <= early <= WRITES_BURST_MAX + 10
        await asyncio.sleep(60)
        assert len(await events(made)) == PENDING_MAX


def test_a_bucket_refills_and_lends() -> None:
    bucket = TokenBucket(2, per_s=10, now_s=0)
    assert [bucket.take(0), bucket.take(0), bucket.take(0)] == [True, True, False]
    assert bucket.take(0.1)
    assert [bucket.reserve_s(0.1), bucket.reserve_s(0.1)] == [0.1, 0.2]


class Faulty:
    """A client whose first call brings out a fault of the program."""

    def __init__(self, client: Client) -> None:
        self._client, self._is_first = client, True

    async def create(self, kind: Kind[Event], obj: Event) -> Event:
        if self._is_first:
            self._is_first = False
            raise AttributeError("a fault of the program")
        return await self._client.create(kind, obj)


@virtual
async def test_a_fault_drops_one_event_and_not_the_recorder() -> None:
    async with world() as made, asyncio.TaskGroup() as tasks:
        recorder = EventRecorder(Faulty(made.client), made.clock, made.ids, component="test")  # type: ignore[arg-type]
        task = tasks.create_task(forever("events", recorder.run))
        recorder.record(pod("p"), "Normal", "Scheduled", "lost")
        recorder.record(pod("p"), "Normal", "Scheduled", "kept")
        await asyncio.sleep(1)
        assert [event.message for event in await events(made)] == ["kept"]
        task.cancel()
