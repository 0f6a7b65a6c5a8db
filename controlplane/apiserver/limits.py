"""How many requests may be in work at once, and for how long. Long-running requests are not counted and not timed."""

import asyncio
from types import TracebackType

from orch.errors import TooManyRequests


class Gate:
    """A counter with a bound (kube-apiserver's max-in-flight); entering a full gate raises TooManyRequests and never
    waits."""

    __slots__ = ("_in_flight", "_max", "_retry_after_s")

    def __init__(self, max_in_flight: int, retry_after_s: int) -> None:
        self._in_flight = 0
        self._max = max_in_flight
        self._retry_after_s = retry_after_s

    def __enter__(self) -> None:
        if self._in_flight >= self._max:
            raise TooManyRequests(
                "too many requests are in flight, please try again later", retry_after_s=self._retry_after_s
            )
        self._in_flight += 1

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_flight -= 1


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
