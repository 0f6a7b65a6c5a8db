"""Writes to the API where only the newest value per key matters: pod statuses, node statuses, leases.

Invariant: after the last `submit` of a key its value is written or refused for good; older values of a key may be
skipped, never written after a newer one. At most `writers` writes are in flight, one per key. A value whose write fails
by a fault of the program is logged and dropped: one value of one node never ends the server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from orch.errors import ApiError, BadRequest, Forbidden, Invalid, NotFound, RequestEntityTooLarge
from orch.kit.backoff import Backoff
from orch.kit.tasks import forever
from orch.kit.workqueue import WorkQueue

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WRITERS = 16
RETRY_DELAY_MIN_S = 0.05
RETRY_DELAY_MAX_S = 5.0
REFUSED_FOR_GOOD = (BadRequest, Forbidden, Invalid, NotFound, RequestEntityTooLarge)
"""Writing the same value again would get the same answer."""


class NewestWriter(Generic[K, V]):
    def __init__(self, name: str, write: Callable[[K, V], Awaitable[None]]) -> None:
        self._name, self._write = name, write
        self._values: dict[K, V] = {}
        self._queue = WorkQueue[K]()
        self._backoff = Backoff[K](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)

    def submit(self, key: K, value: V) -> None:
        self._values[key] = value
        self._queue.add(key)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(forever(f"{self._name}-writer-{number}", self._work))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if key in self._values:
                    await self._write_newest(key)
            finally:
                self._queue.done(key)

    async def _write_newest(self, key: K) -> None:
        value = self._values.pop(key)
        try:
            await self._write(key, value)
            self._backoff.forget(key)
        except REFUSED_FOR_GOOD as error:
            self._backoff.forget(key)
            log.warning("write_refused", writer=self._name, key=key, error=str(error))
        except ApiError as error:
            delay_s = self._backoff.next_s(key)
            log.info("write_failed", writer=self._name, key=key, error=str(error), retry_in_s=delay_s)
            self._values.setdefault(key, value)
            self._queue.add_after(key, delay_s)
        except Exception:
            self._backoff.forget(key)
            log.exception("write_dropped", writer=self._name, key=key)
