"""Single flight: of all who ask for one key at the same time, one does the work and the others take its result."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Abandoned(Exception):
    """The one who did the work was cancelled; somebody else must begin anew."""


class SingleFlight(Generic[T]):
    """No tasks of its own: the first caller does the work in its own task. Its cancellation is nobody else's."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Future[T]] = {}

    async def do(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result or the error of `work()`, which runs once however many ask."""
        while (flight := self._flights.get(key)) is not None:
            try:
                return await asyncio.shield(flight)
            except _Abandoned:
                continue
        return await self._lead(key, work)

    async def _lead(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        flight.add_done_callback(lambda done: done.exception())  # nobody may be waiting; that is no warning
        try:
            result = await work()
        except BaseException as error:
            flight.set_exception(error if isinstance(error, Exception) else _Abandoned())
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            del self._flights[key]
