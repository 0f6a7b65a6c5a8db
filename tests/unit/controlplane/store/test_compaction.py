import asyncio

import pytest
from structlog.testing import capture_logs

from controlplane.store.backend import Compacted, Put, StoreUnavailable
from controlplane.store.compaction import INTERVAL_S, KEEP_S, Compactor
from controlplane.store.memory import MemoryBackend
from orch.kit.clock import LoopClock
from tests.builders import NOW
from tests.sim.virtual_loop import virtual


async def run_for(compactor: Compactor, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(compactor.run())
        await asyncio.sleep(seconds)
        running.cancel()


async def write_every(store: MemoryBackend, interval_s: float, revisions: list[tuple[float, int]]) -> None:
    while True:
        await store.commit([], [Put("/a", b"x")])
        revisions.append((asyncio.get_running_loop().time(), await store.revision()))
        await asyncio.sleep(interval_s)


@virtual
async def test_the_last_minutes_stay_and_the_rest_goes() -> None:
    store, archived, written = MemoryBackend(), [], []

    async def archive(revision: int) -> None:
        await store.get("/a", revision=revision)
        archived.append(revision)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write_every(store, 10.0, written))
        await run_for(Compactor(store, LoopClock(NOW), archive), 1000.5)
        writing.cancel()
    young = [revision for time, revision in written if time >= 1000 - KEEP_S]
    old = [revision for time, revision in written if time < 1000 - KEEP_S - 2 * INTERVAL_S]
    for revision in young:
        assert (await store.get("/a", revision=revision))[0] is not None
    for revision in old:
        with pytest.raises(Compacted):
            await store.get("/a", revision=revision)
    assert archived == sorted(set(archived))
    assert archived


@virtual
async def test_what_could_not_be_archived_stays() -> None:
    store = MemoryBackend()
    await store.commit([], [Put("/a", b"x")])
    first = await store.revision()
    await store.commit([], [Put("/a", b"y")])

    async def archive(revision: int) -> None:
        raise StoreUnavailable("the archive is full")

    with capture_logs() as logs:
        await run_for(Compactor(store, LoopClock(NOW), archive), KEEP_S + 3 * INTERVAL_S)
    assert {log["event"] for log in logs} == {"compaction_failed"}
    assert (await store.get("/a", revision=first))[0] is not None
