"""The runner: reads its own writes, retries by kind of error, keeps going after a bug, tells of what it did."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Action, Create, Decision, Delete, Patch, Reference, Update
from controlplane.controllers.runner import Controller, Runner, Watch, own_key
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, EVENTS
from orch.api.meta import ObjectMeta
from orch.client.client import Client
from orch.client.events import EventRecorder
from orch.client.informer import Informers, Key
from orch.errors import ApiError, Conflict, Forbidden, ServiceUnavailable, TooManyRequests
from orch.kit.tasks import forever
from tests.builders import meta
from tests.sim.virtual_loop import virtual
from tests.world import World, world

Decide = Callable[[Informers, Key, datetime], Decision]
SOURCE = ConfigMap(metadata=meta("source"))


def copy_of(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(namespace="default", name=name))


async def run(made: World, decide: Decide, seconds: float = 5) -> list[float]:
    """Times at which `default/source` was decided while the controller ran."""
    informers = Informers(made.client)
    maps, times = informers.of(CONFIGMAPS), []

    def counted(key: Key, now: datetime) -> Decision:
        if key != ("default", "source"):
            return NOTHING
        times.append(made.clock.monotonic())
        return decide(informers, key, now)

    recorder = EventRecorder(made.client, made.clock, made.ids, component="test")
    controller = Controller("test", CONFIGMAPS, (Watch(maps, own_key),), counted)
    runner = Runner(controller, informers, made.client, made.clock, recorder)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(forever("informer", maps.run)),
            group.create_task(forever("events", recorder.run)),
            group.create_task(runner.run()),
        ]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
    return times


@virtual
async def test_a_decision_sees_every_earlier_write_of_its_own() -> None:
    """Each decision makes one more copy and asks to be made again: with a stale view two would be one."""

    def decide(informers: Informers, key: Key, now: datetime) -> Decision:
        copies = len([each for each in informers.of(CONFIGMAPS).items() if each.metadata.name.startswith("copy")])
        if copies == 20:
            return NOTHING
        return Decision((Create(CONFIGMAPS, copy_of(f"copy-{copies:02}")),), requeue_after_s=0)

    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        times = await run(made, decide)
        assert len([name for name in await made.names(CONFIGMAPS) if name.startswith("copy")]) == 20
        assert len(times) == 21


@virtual
async def test_a_refused_action_is_retried_with_growing_delays() -> None:
    def decide(informers: Informers, key: Key, now: datetime) -> Decision:
        raise Forbidden("no")

    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        times = await run(made, decide, seconds=1)
        gaps = [round(later - earlier, 3) for earlier, later in pairwise(times)]
        assert gaps == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32]


@virtual
async def test_the_server_says_when_to_come_back() -> None:
    def decide(informers: Informers, key: Key, now: datetime) -> Decision:
        raise TooManyRequests("slow down", retry_after_s=2)

    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        assert len(await run(made, decide, seconds=5)) == 3


@virtual
async def test_a_bug_in_one_decision_is_logged_and_retried() -> None:
    def decide(informers: Informers, key: Key, now: datetime) -> Decision:
        raise ZeroDivisionError

    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        assert len(await run(made, decide, seconds=1)) > 3


@virtual
async def test_success_and_failure_are_told_to_the_object() -> None:
    owner = replace(SOURCE, metadata=meta("source"))

    def decide(informers: Informers, key: Key, now: datetime) -> Decision:
        return Decision((Create(CONFIGMAPS, copy_of("copy"), owner),))

    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        await run(made, decide)
        await run(made, decide)
        reasons = {each.reason: each.message for each in (await made.client.list(EVENTS)).items}
        assert reasons["SuccessfulCreate"] == "Created configmap: copy"
        assert "already exists" in str(reasons["FailedCreate"])


@virtual
async def test_checks_are_made_on_fresh_reads() -> None:
    """The caches of this controller never see what it asks about."""
    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE, ConfigMap(metadata=meta("victim")), ConfigMap(metadata=meta("guard")))
        victim = await made.client.get(CONFIGMAPS, "victim", "default")
        guard = Reference(CONFIGMAPS, "default", "guard")

        def decide(informers: Informers, key: Key, now: datetime) -> Decision:
            return Decision((Delete(CONFIGMAPS, "default", "victim", victim.metadata.uid, absent=(guard,)),))

        await run(made, decide)
        assert await made.exists(CONFIGMAPS, "victim", "default")
        await made.client.delete(CONFIGMAPS, "guard", "default")
        await run(made, decide)
        assert not await made.exists(CONFIGMAPS, "victim", "default")


@virtual
async def test_a_stale_update_is_decided_anew() -> None:
    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        stale = await made.client.get(CONFIGMAPS, "source", "default")
        await made.client.update(CONFIGMAPS, replace(stale, data={"a": "1"}))

        def decide(informers: Informers, key: Key, now: datetime) -> Decision:
            found = informers.of(CONFIGMAPS).get(*key)
            assert found is not None
            basis = stale if now.timestamp() == first else found
            return NOTHING if (found.data or {}).get("b") else Decision((Update(CONFIGMAPS, with_b(basis)),))

        first = made.clock.now().timestamp()
        times = await run(made, decide)
        assert (await made.client.get(CONFIGMAPS, "source", "default")).data == {"a": "1", "b": "2"}
        assert len(times) >= 2


def with_b(basis: ConfigMap) -> ConfigMap:
    return replace(basis, data={**(basis.data or {}), "b": "2"})


class Refusing:
    """A client that refuses to create and to patch."""

    def __init__(self, client: Client, error: ApiError) -> None:
        self._client, self._error = client, error
        self.list, self.watch, self.update = client.list, client.watch, client.update

    async def create(self, *args: object) -> ConfigMap:
        raise self._error

    async def patch(self, *args: object, **options: object) -> ConfigMap:
        raise self._error


CREATION = Create(CONFIGMAPS, copy_of("copy"))


@pytest.mark.parametrize(
    ("action", "error", "told"),
    [
        (CREATION, Forbidden("quota exceeded"), True),
        (CREATION, Conflict("stale"), False),
        (CREATION, ServiceUnavailable("no leader"), False),
        (Patch(CONFIGMAPS, "default", "source", {}), Forbidden("no"), False),
    ],
)
@virtual
async def test_a_status_tells_of_a_creation_that_was_refused_and_of_no_passing_failure(
    action: Action, error: ApiError, told: bool
) -> None:
    asked: list[Key] = []

    def tell(key: Key, error: ApiError, now: datetime) -> None:
        asked.append(key)

    async with world() as made:
        await made.make(CONFIGMAPS, SOURCE)
        informers = Informers(made.client)
        maps = informers.of(CONFIGMAPS)
        recorder = EventRecorder(made.client, made.clock, made.ids, component="test")
        watches = (Watch(maps, own_key),)
        controller = Controller("test", CONFIGMAPS, watches, lambda key, now: Decision((action,)), tell)
        client: Any = Refusing(made.client, error)
        runner = Runner(controller, informers, client, made.clock, recorder)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(maps.run()), group.create_task(runner.run())]
            await asyncio.sleep(1)
            for task in tasks:
                task.cancel()
    assert bool(asked) is told
