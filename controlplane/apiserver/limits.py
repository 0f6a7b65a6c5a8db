"""How many requests may be in work at once, whose turn it is, and for how long. Long-running requests are not counted
and not timed."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from orch.errors import TooManyRequests

IDLE_FLOWS_MAX = 1000
"""Users remembered between their requests, which is cheaper than to forget each at once."""

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class GateLimits:
    """All but the last counted in requests."""

    in_flight_max: int
    in_flight_per_user_max: int
    """Less than all, so that there is room for somebody else; what else a user sends waits."""
    queued_per_user_max: int
    """More than that are refused with 429."""
    retry_after_s: int


@dataclass(slots=True, eq=False)
class _Flow:
    """The requests of one user."""

    user: str
    in_flight: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class FairGate:
    """A bound on requests in work (kube-apiserver's max-in-flight), shared fairly between users: a user's requests
    wait in a queue of their own, and what gets free goes to the queues in turn, as in API priority and fairness.

    A request that need not wait costs a lookup and two additions.
    """

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._in_flight = 0
        self._flows: dict[str, _Flow] = {}
        self._turns: OrderedDict[_Flow, None] = OrderedDict()
        """Flows that wait and are below their share, the next one first. Empty while there is room for all."""

    async def run(self, user: str, handler: Callable[[A], Awaitable[R]], argument: A) -> R:
        """`handler(argument)` when it is this request's turn. Raises TooManyRequests."""
        flow = self._flows.get(user)
        if flow is None:
            flow = self._flows[user] = _Flow(user)
        if self._in_flight < self._limits.in_flight_max and self._may_start(flow) and not flow.waiting:
            self._start(flow)
        else:
            await self._wait(flow)
        try:
            return await handler(argument)
        finally:
            self._end(flow)

    def _may_start(self, flow: _Flow) -> bool:
        return flow.in_flight < self._limits.in_flight_per_user_max

    def _start(self, flow: _Flow) -> None:
        self._in_flight += 1
        flow.in_flight += 1

    def _end(self, flow: _Flow) -> None:
        self._in_flight -= 1
        flow.in_flight -= 1
        if flow.waiting or self._turns or len(self._flows) > IDLE_FLOWS_MAX:
            self._settle(flow)

    async def _wait(self, flow: _Flow) -> None:
        """Until the request is counted as in work."""
        if len(flow.waiting) >= self._limits.queued_per_user_max:
            raise TooManyRequests(
                "too many requests of this user are waiting, please try again later",
                retry_after_s=self._limits.retry_after_s,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flow.waiting.append(turn)
        self._settle(flow)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # passed over already
                    flow.waiting.remove(turn)
                self._settle(flow)
            else:  # cancelled after its turn had come
                self._end(flow)
            raise

    def _settle(self, flow: _Flow) -> None:
        """After any change of a flow: gives it its place among the turns or forgets it, then lets in who has room."""
        if not flow.waiting:
            self._turns.pop(flow, None)
            self._forget_idle(flow)
        elif self._may_start(flow):
            self._turns.setdefault(flow)
        while self._turns and self._in_flight < self._limits.in_flight_max:
            self._let_in(self._turns.popitem(last=False)[0])

    def _let_in(self, flow: _Flow) -> None:
        """The first of a flow's queue that was not cancelled; the flow then waits for its next turn."""
        while flow.waiting:
            turn = flow.waiting.popleft()
            if not turn.cancelled():
                self._start(flow)
                turn.set_result(None)
                break
        if flow.waiting and self._may_start(flow):
            self._turns[flow] = None

    def _forget_idle(self, flow: _Flow) -> None:
        if not flow.in_flight and len(self._flows) > IDLE_FLOWS_MAX:
            self._flows.pop(flow.user, None)


class Deadlines:
    """One bound on the time of many short requests. A timer for each would cost more than most of them; here one sweep
    looks at all that are in work. A request may so take up to one sweep longer."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._started: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()

    async def run(self) -> None:
        """Sweeps until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timeout_s / 10)
            for task, started in list(self._started.items()):
                if loop.time() - started > self._timeout_s:
                    self._expired.add(task)
                    task.cancel()

    def begin(self) -> asyncio.Task[object]:
        """The running task's time counts from now; `end` must follow."""
        task = asyncio.current_task()
        assert task is not None, "requests run in tasks"
        self._started[task] = task.get_loop().time()
        return task

    def end(self, task: asyncio.Task[object]) -> None:
        """Raises TimeoutError when the sweep has cancelled the task; the cancellation is then undone."""
        del self._started[task]
        if task in self._expired:
            self._expired.discard(task)
            task.uncancel()
            raise TimeoutError
