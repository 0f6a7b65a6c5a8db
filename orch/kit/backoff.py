"""Delays that grow while something keeps failing. Pure: it says how long to wait, it never waits.

Invariant: a key that was forgotten, or never failed, starts at the base delay again.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

DOUBLINGS_MAX = 62
"""Beyond this the power would only grow the integer; the maximum delay was reached long before."""


class Backoff(Generic[K]):
    """Delays in seconds per key: `base_s`, doubling with each failure, never above `max_s`."""

    def __init__(self, base_s: float, max_s: float) -> None:
        self._base_s, self._max_s = base_s, max_s
        self._failures: dict[K, int] = {}

    def next_s(self, key: K) -> float:
        """Counts one more failure of `key`; how long to wait before it is tried again."""
        failures = self._failures.get(key, 0)
        self._failures[key] = min(failures + 1, DOUBLINGS_MAX)
        return min(self._base_s * 2.0**failures, self._max_s)

    def forget(self, key: K) -> None:
        """`key` succeeded or does not matter any more."""
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._failures)
