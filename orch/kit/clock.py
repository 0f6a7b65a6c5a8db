"""Time as an argument. Code that decides gets a `datetime`; code that waits gets a `Clock`.

`SystemClock` is the real one. Under the simulator's event loop plain `asyncio.sleep` and `asyncio.timeout` already run
in virtual time, and a `LoopClock` derives wall time from the loop, so that nothing reads the machine's clock.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, UTC, timezone-aware."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The same moment on both clocks: `wall` is for what is told, `steady_s` (monotonic) for how long things take."""

    wall: datetime
    steady_s: float

    @staticmethod
    def of(clock: Clock) -> "Moment":
        return Moment(clock.now(), clock.monotonic())


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class LoopClock:
    """Wall time = `epoch` + the running loop's time. For loops in virtual time."""

    def __init__(self, epoch: datetime) -> None:
        self._epoch = epoch

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def whole_seconds(moment: datetime) -> datetime:
    """As metav1.Time stores it."""
    return moment.replace(microsecond=0)


def micro_time(moment: datetime) -> str:
    """As metav1.MicroTime is written: six fractional digits, always."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
