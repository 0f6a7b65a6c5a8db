"""Order, parking, waking by the right event, backoff."""

import asyncio

import pytest

from controlplane.scheduler.demand import PodInfo, pod_info
from controlplane.scheduler.interface import Hint
from controlplane.scheduler.queue import PARKED_MAX_S, SchedulingQueue
from tests.builders import pod
from tests.sim.virtual_loop import virtual

RESOURCES = frozenset({Hint.NODE_ADDED, Hint.POD_REMOVED})


def info(name: str, priority: int = 0) -> PodInfo:
    return pod_info(pod(name, spec={"priority": priority}))


async def taken(queue: SchedulingQueue) -> tuple[str, float]:
    name = (await queue.get()).pod.metadata.name
    return name, pytest.approx(asyncio.get_running_loop().time(), abs=1e-6)


@virtual
async def test_priority_first_then_order_of_arrival() -> None:
    queue = SchedulingQueue()
    for each in (info("a"), info("b", 10), info("c"), info("d", 10)):
        queue.put(each)
    assert [(await queue.get()).pod.metadata.name for _ in range(4)] == ["b", "d", "a", "c"]


@virtual
async def test_a_parked_pod_wakes_by_an_event_that_helps_and_not_before_its_backoff() -> None:
    queue = SchedulingQueue()
    queue.put(info("a"))
    parked = await queue.get()
    queue.park(parked, RESOURCES)
    queue.helped(Hint.NODE_RELABELLED)
    assert queue._active == []
    queue.helped(Hint.POD_REMOVED)
    assert await taken(queue) == ("a", 0.1)
    queue.park(parked, RESOURCES)
    await asyncio.sleep(5)
    queue.helped(Hint.NODE_ADDED)
    assert await taken(queue) == ("a", 5.1)


@virtual
async def test_a_parked_pod_is_tried_again_after_a_while_whatever_happened() -> None:
    queue = SchedulingQueue()
    queue.park(info("a"), RESOURCES)
    assert await taken(queue) == ("a", PARKED_MAX_S)


@virtual
async def test_refused_bindings_back_off_further_each_time() -> None:
    queue = SchedulingQueue()
    times = []
    for _ in range(4):
        queue.retry(info("a"))
        times.append((await taken(queue))[1])
    assert times == [0.1, 0.3, 0.7, 1.5]


@virtual
async def test_a_discarded_pod_never_comes() -> None:
    queue = SchedulingQueue()
    queue.put(info("a"))
    queue.put(info("b"))
    queue.park(info("c"), RESOURCES)
    queue.discard("a-uid")
    queue.discard("c-uid")
    assert await taken(queue) == ("b", 0.0)
    assert len(queue) == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PARKED_MAX_S * 2):
            await queue.get()


@virtual
async def test_a_changed_pod_wakes_itself() -> None:
    queue = SchedulingQueue()
    queue.park(info("a"), frozenset({Hint.NODE_ADDED}))
    queue.put(info("a"))
    assert queue._active == []
    queue.put(info("a", 5), changed=True)
    got = await queue.get()
    assert got.pod.spec.priority == 5
