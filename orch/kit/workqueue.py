"""The one work queue: keys that want attention. Knows nothing about what is done with a key.

As client-go's `util/workqueue`: a key is *dirty* from `add` until a worker takes it, and *processing* from then until
`done`. Adding a dirty key changes nothing; adding a key in processing makes it wait for its worker.

Invariant: never two workers on one key, and no add is lost: after the last `add` of a key a worker takes it once more.
"""

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from orch.errors import OrchError

K = TypeVar("K", bound=Hashable)

KEYS_MAX = 1_000_000


class QueueOverflow(OrchError):
    """More distinct keys wait than the queue may hold."""


class WorkQueue(Generic[K]):
    """First in, first out. Delays run on the event loop's clock, so that they are virtual under a virtual loop."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._ready: asyncio.Queue[K] = asyncio.Queue(keys_max)
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K) -> None:
        """Raises QueueOverflow."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._put(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Adds `key` in `delay_s` seconds. Of several waiting delays of one key the earliest counts."""
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        waiting = self._timers.get(key)
        if waiting is not None and waiting.when() <= due:
            return
        if waiting is not None:
            waiting.cancel()
        self._timers[key] = loop.call_at(due, self._ripen, key)

    async def get(self) -> K:
        """The next key; the caller must call `done` with it."""
        key = await self._ready.get()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._put(key)

    def __len__(self) -> int:
        """Keys that are ready or wait for their worker; delayed keys do not count."""
        return len(self._dirty)

    def _ripen(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _put(self, key: K) -> None:
        try:
            self._ready.put_nowait(key)
        except asyncio.QueueFull:
            raise QueueOverflow(f"more than {self._ready.maxsize} keys are waiting") from None
