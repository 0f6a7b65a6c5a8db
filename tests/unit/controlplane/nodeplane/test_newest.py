"""Writes of which only the newest per key matters."""

import asyncio
from collections.abc import Iterator

import pytest

from controlplane.nodeplane import newest
from controlplane.nodeplane.newest import NewestWriter
from orch.errors import NotFound, ServiceUnavailable


class Target:
    def __init__(self, *errors: Exception) -> None:
        self.written: list[tuple[str, int]] = []
        self._errors: Iterator[Exception] = iter(errors)
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, key: str, value: int) -> None:
        await self.gate.wait()
        for error in self._errors:
            raise error
        self.written.append((key, value))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "RETRY_DELAY_MIN_S", 0.001)


async def written(target: Target, *submitted: tuple[str, int], turns: int = 60) -> list[tuple[str, int]]:
    writer = NewestWriter[str, int]("test", target.write)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run())
        await asyncio.sleep(0)
        for key, value in submitted:
            writer.submit(key, value)
            await asyncio.sleep(0)
        target.gate.set()
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
    return target.written


async def test_what_comes_while_a_write_is_in_flight_waits_and_only_the_last_of_it_counts() -> None:
    target = Target()
    target.gate.clear()
    assert await written(target, ("a", 1), ("a", 2), ("a", 3), ("b", 1)) in (
        [("a", 1), ("b", 1), ("a", 3)],
        [("a", 1), ("a", 3), ("b", 1)],
    )


async def test_a_write_that_failed_is_tried_again() -> None:
    assert await written(Target(ServiceUnavailable("x"), ServiceUnavailable("x")), ("a", 1)) == [("a", 1)]


async def test_a_newer_value_takes_the_place_of_one_that_failed() -> None:
    target = Target(ServiceUnavailable("x"))
    target.gate.clear()
    assert await written(target, ("a", 1), ("a", 2)) == [("a", 2)]


async def test_what_is_refused_for_good_is_given_up() -> None:
    assert await written(Target(NotFound("x")), ("a", 1), ("b", 2)) == [("b", 2)]


async def test_a_value_that_brings_out_a_fault_is_dropped_and_the_others_are_written() -> None:
    assert await written(Target(KeyError("type")), ("a", 1), ("b", 2)) == [("b", 2)]
