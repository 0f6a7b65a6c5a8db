"""Who drops the store's history: the server alone, five minutes back, once a minute.

An archive may take the revisions first. Invariant: nothing younger than `KEEP_S` is compacted, so that a server that
restarts, or a client that resumes, finds the last minutes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from controlplane.store.backend import Backend, StoreError
from orch.kit.clock import Clock

log = structlog.get_logger(__name__)

KEEP_S = 300.0
INTERVAL_S = 60.0

Archive = Callable[[int], Awaitable[None]]
"""Called with the revision up to which history is about to go; an error keeps the history."""


async def keep_nothing(revision: int) -> None:
    """The archive of a store without one."""


class Compactor:
    def __init__(self, backend: Backend, clock: Clock, archive: Archive) -> None:
        self._backend = backend
        self._clock = clock
        self._archive = archive
        self._marks: deque[tuple[float, int]] = deque()
        """(monotonic seconds, the revision then), oldest first."""

    async def run(self) -> None:
        while True:
            try:
                await self._turn()
            except StoreError as error:
                log.warning("compaction_failed", error=str(error))
            await asyncio.sleep(INTERVAL_S)

    async def _turn(self) -> None:
        now = self._clock.monotonic()
        self._marks.append((now, await self._backend.revision()))
        if (revision := self._newest_before(now - KEEP_S)) is not None:
            await self._archive(revision)
            await self._backend.compact(revision)

    def _newest_before(self, moment: float) -> int | None:
        revision = None
        while self._marks and self._marks[0][0] <= moment:
            revision = self._marks.popleft()[1]
        return revision
