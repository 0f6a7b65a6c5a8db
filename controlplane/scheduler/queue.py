"""Pods that wait for a node: active (to be tried now), backing off, or parked (fit nowhere until something changes).

    put --> active --get--> the cycle --park--> parked --helped--> backing off --> active
                                     --retry-------------------------^

Only an event that can help wakes a parked pod, and backoff counts from its last attempt, so that a pod that waited
longer than its backoff is tried at once. Must not know nodes or plugins.

Invariant: a pod is in at most one of the three places; a pod taken by `get` is in none.
"""

import asyncio
import heapq
from itertools import count

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Hint
from orch.kit.backoff import Backoff

BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 10.0
PARKED_MAX_S = 300.0
"""A parked pod is tried again after this long whatever happened, in case an event was lost."""


class SchedulingQueue:
    """Higher priority first, then first come first served. One consumer."""

    def __init__(self) -> None:
        self._pods: dict[str, PodInfo] = {}
        self._active: list[tuple[int, int, str]] = []
        self._tickets: dict[str, int] = {}
        self._parked: dict[Hint, dict[str, None]] = {hint: {} for hint in Hint}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._not_before: dict[str, float] = {}
        self._backoff = Backoff[str](BACKOFF_MIN_S, BACKOFF_MAX_S)
        self._numbers = count()
        self._ready = asyncio.Event()

    def put(self, info: PodInfo, *, changed: bool = False) -> None:
        """A pod to schedule, or a newer state of one; `changed`: in a way that may let it fit now."""
        known = info.uid in self._pods
        self._pods[info.uid] = info
        if not known:
            self._activate(info.uid)
        elif changed and info.uid not in self._tickets:
            self._wake(info.uid)

    async def get(self) -> PodInfo:
        """The next pod. The caller parks it, retries it, or calls `discard` when it has a node."""
        while True:
            while self._active:
                _, ticket, uid = heapq.heappop(self._active)
                if self._tickets.get(uid) == ticket:
                    del self._tickets[uid]
                    return self._pods.pop(uid)
            self._ready.clear()
            await self._ready.wait()

    def park(self, info: PodInfo, helped_by: frozenset[Hint]) -> None:
        """It fits nowhere; one of `helped_by` may change that."""
        self._pods[info.uid] = info
        self._count_attempt(info.uid)
        for hint in helped_by:
            self._parked[hint][info.uid] = None
        self._wake_at(info.uid, asyncio.get_running_loop().time() + PARKED_MAX_S)

    def retry(self, info: PodInfo) -> None:
        """Its binding was refused: try again after backoff."""
        self._pods[info.uid] = info
        self._count_attempt(info.uid)
        self._wake(info.uid)

    def helped(self, hint: Hint) -> None:
        """Something happened that may let pods fit."""
        for uid in tuple(self._parked[hint]):
            self._wake(uid)

    def discard(self, uid: str) -> None:
        """The pod has a node or is gone."""
        self._leave(uid)
        self._pods.pop(uid, None)
        self._tickets.pop(uid, None)
        self._not_before.pop(uid, None)
        self._backoff.forget(uid)

    def __len__(self) -> int:
        return len(self._pods)

    def _count_attempt(self, uid: str) -> None:
        self._not_before[uid] = asyncio.get_running_loop().time() + self._backoff.next_s(uid)

    def _wake(self, uid: str) -> None:
        due = self._not_before.get(uid, 0.0)
        self._leave(uid)
        if due <= asyncio.get_running_loop().time():
            self._activate(uid)
        else:
            self._wake_at(uid, due)

    def _wake_at(self, uid: str, due: float) -> None:
        self._timers[uid] = asyncio.get_running_loop().call_at(due, self._expire, uid)

    def _expire(self, uid: str) -> None:
        self._leave(uid)
        self._activate(uid)

    def _leave(self, uid: str) -> None:
        """Out of parking and backoff."""
        timer = self._timers.pop(uid, None)
        if timer is not None:
            timer.cancel()
        for parked in self._parked.values():
            parked.pop(uid, None)

    def _activate(self, uid: str) -> None:
        ticket = self._tickets[uid] = next(self._numbers)
        heapq.heappush(self._active, (-(self._pods[uid].pod.spec.priority or 0), ticket, uid))
        self._ready.set()
