"""Waiting for the server: polls with growing pauses up to a deadline. Used by delete, rollout and wait."""

import time
from collections.abc import Callable
from typing import TypeVar

from orch.cli.failures import CliError, Exit

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
T = TypeVar("T")


def until(probe: Callable[[], T | None], *, timeout_s: float, what: str) -> T:
    """The first result of `probe` that is not None. Raises CliError (TIMEOUT) that says what was waited for.

    A timeout of 0 asks once.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        result = probe()
        if result is not None:
            return result
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise CliError(f"{what}: not within {timeout_s:g}s", Exit.TIMEOUT)
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
