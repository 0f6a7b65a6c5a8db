"""Never two workers on one key, no add lost, delays in loop time."""

import asyncio

import pytest

from orch.kit.workqueue import QueueOverflow, WorkQueue
from tests.sim.virtual_loop import virtual


@virtual
async def test_keys_come_first_in_first_out_and_once() -> None:
    queue = WorkQueue[str]()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]


@virtual
async def test_a_key_in_processing_waits_for_its_worker() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await queue.get()
    queue.done(key)
    assert await queue.get() == "a"


@virtual
async def test_a_key_done_without_new_adds_does_not_return() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    queue.done(await queue.get())
    assert not queue


@virtual
async def test_of_several_delays_the_earliest_counts() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    assert not queue
    await queue.get()
    assert asyncio.get_running_loop().time() == pytest.approx(3)


@virtual
async def test_a_delay_of_nothing_is_an_add() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 0)
    assert await queue.get() == "a"


@virtual
async def test_more_keys_than_the_bound_are_an_error() -> None:
    queue = WorkQueue[int](keys_max=2)
    queue.add(1)
    queue.add(2)
    with pytest.raises(QueueOverflow):
        queue.add(3)


@virtual
async def test_many_workers_never_share_a_key() -> None:
    queue = WorkQueue[int]()
    working: set[int] = set()
    handled = 0

    async def worker() -> None:
        nonlocal handled
        while True:
            key = await queue.get()
            assert key not in working
            working.add(key)
            await asyncio.sleep(0.1 * (key % 3))
            working.discard(key)
            handled += 1
            queue.done(key)

    async with asyncio.TaskGroup() as tasks:
        workers = [tasks.create_task(worker()) for _ in range(4)]
        for step in range(200):
            queue.add(step % 7)
            await asyncio.sleep(0.03)
        await asyncio.sleep(60)
        assert not queue
        for task in workers:
            task.cancel()
    assert handled >= 7
