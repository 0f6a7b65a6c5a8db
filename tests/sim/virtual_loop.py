"""An event loop in virtual time: when nothing is ready, time jumps to the next timer. No socket, thread or wall clock.

Plain asyncio code (sleep, timeout, TaskGroup, queues) runs on it unchanged and in an order that depends on nothing
but the program. Waiting for what can never happen is an error instead of a hang.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class Deadlock(RuntimeError):
    """Every task waits and no timer is left."""


class _Jump(selectors.SelectSelector):
    """Instead of waiting it moves the loop's time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits and no timer is left")
        self.now_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        # Adding a timeout to the time may fall short of the timer by a rounding error.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jump.now_s


def run_virtual(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs `main` to its end in virtual time; its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test function that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs))

    return run
