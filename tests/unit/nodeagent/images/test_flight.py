"""Single flight."""

import asyncio

import pytest

from nodeagent.images.flight import SingleFlight


class Work:
    def __init__(self) -> None:
        self.runs, self.go = 0, asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        await self.go.wait()
        return self.runs


async def test_all_who_ask_at_once_share_one_run() -> None:
    flight, work = SingleFlight[int](), Work()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(flight.do("key", work)) for _ in range(5)]
        await asyncio.sleep(0)
        work.go.set()
    assert [task.result() for task in asked] == [1] * 5
    assert await flight.do("key", work) == 2, "it is no cache"


async def test_keys_do_not_wait_for_each_other() -> None:
    flight, slow, fast = SingleFlight[int](), Work(), Work()
    fast.go.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(flight.do("slow", slow))
        assert await flight.do("fast", fast) == 1
        slow.go.set()


async def test_a_failure_is_everybodys() -> None:
    flight: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(flight.do("key", fail) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 3


async def test_a_cancelled_leader_is_replaced() -> None:
    flight, work = SingleFlight[int](), Work()
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(flight.do("key", work))
        follower = group.create_task(flight.do("key", work))
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.sleep(0)
        work.go.set()
    assert leader.cancelled()
    assert follower.result() == 2


async def test_a_cancelled_follower_changes_nothing() -> None:
    flight, work = SingleFlight[int](), Work()
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(flight.do("key", work))
        follower = group.create_task(flight.do("key", work))
        await asyncio.sleep(0)
        follower.cancel()
        await asyncio.sleep(0)
        work.go.set()
    assert leader.result() == 1
    with pytest.raises(asyncio.CancelledError):
        follower.result()
