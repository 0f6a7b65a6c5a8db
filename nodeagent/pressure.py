"""When a node runs short of memory, disk, inodes or process ids: thresholds and what follows from them. Pure.

After kubelet's eviction manager (pkg/kubelet/eviction/helpers.go). A threshold counts from when it is crossed, and on
until there is also its minimum reclaim beyond it; a soft one acts only after its grace period. A node condition
outlasts its cause by the transition period, so that it does not flap. Times are monotonic seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orch.api import quantity
from orch.errors import OrchError
from orch.kit import durations


class InvalidThresholds(OrchError):
    """An option of the agent that says nothing about eviction."""


class Signal(StrEnum):
    MEMORY = "memory.available"
    NODEFS = "nodefs.available"
    NODEFS_INODES = "nodefs.inodesFree"
    IMAGEFS = "imagefs.available"
    IMAGEFS_INODES = "imagefs.inodesFree"
    PIDS = "pid.available"


MEMORY_PRESSURE, DISK_PRESSURE, PID_PRESSURE = "MemoryPressure", "DiskPressure", "PIDPressure"
CONDITIONS = {
    Signal.MEMORY: MEMORY_PRESSURE,
    Signal.NODEFS: DISK_PRESSURE,
    Signal.NODEFS_INODES: DISK_PRESSURE,
    Signal.IMAGEFS: DISK_PRESSURE,
    Signal.IMAGEFS_INODES: DISK_PRESSURE,
    Signal.PIDS: PID_PRESSURE,
}
RESOURCES = {
    Signal.MEMORY: "memory",
    Signal.NODEFS: "ephemeral-storage",
    Signal.NODEFS_INODES: "inodes",
    Signal.IMAGEFS: "ephemeral-storage",
    Signal.IMAGEFS_INODES: "inodes",
    Signal.PIDS: "pids",
}
"""Signal -> what pods are told that the node was low on."""
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Level:
    """Of one signal: what is left and how much there is in all."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Amount:
    """Bytes or pieces, or a share of the capacity."""

    units: int = 0
    percent: float | None = None

    def of(self, capacity: int) -> int:
        return self.units if self.percent is None else int(capacity * self.percent / PERCENT)


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Threshold:
    signal: Signal
    least: Amount
    grace_s: float = 0.0
    is_hard: bool = True
    min_reclaim: Amount = NOTHING

    def is_crossed(self, levels: Mapping[Signal, Level], *, with_reclaim: bool = False) -> bool:
        """Whether less is left than must be; `with_reclaim`: than must be and is to be won beyond it."""
        level = levels.get(self.signal)
        if level is None:
            return False
        wanted = self.least.of(level.capacity) + (self.min_reclaim.of(level.capacity) if with_reclaim else 0)
        return level.available < wanted


DEFAULT_HARD = (
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%,"
    "pid.available<5%"
)
"""As kubelet's; it has none for process ids, without which a node cannot even end a pod."""


def thresholds(hard: str, soft: str = "", soft_grace: str = "", min_reclaim: str = "") -> tuple[Threshold, ...]:
    """From the options, each `signal<amount` or `signal=amount`, separated by commas. Raises InvalidThresholds."""
    reclaim = {signal: _amount(text) for signal, text in _pairs(min_reclaim, "=")}
    grace = {signal: duration_s(text) for signal, text in _pairs(soft_grace, "=")}
    found = [Threshold(s, _amount(text), min_reclaim=reclaim.get(s, NOTHING)) for s, text in _pairs(hard, "<")]
    for signal, text in _pairs(soft, "<"):
        if signal not in grace:
            raise InvalidThresholds(f"grace period must be specified for the soft eviction threshold {signal}")
        soft_one = Threshold(signal, _amount(text), grace[signal], False, reclaim.get(signal, NOTHING))
        found.append(soft_one)
    return tuple(found)


def duration_s(text: str) -> float:
    """`90s`, `1m30s`, `250ms`. Raises InvalidThresholds."""
    try:
        return durations.seconds(text)
    except ValueError:
        raise InvalidThresholds(f"{text!r} is no duration such as 90s or 1m30s") from None


def _pairs(text: str, separator: str) -> Iterable[tuple[Signal, str]]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, found, amount = part.partition(separator)
        if not found or name not in set(Signal):
            known = ", ".join(Signal)
            raise InvalidThresholds(f"{part!r} is not of the form SIGNAL{separator}AMOUNT; signals are {known}")
        yield Signal(name), amount


def _amount(text: str) -> Amount:
    try:
        if text.endswith("%"):
            percent = float(text[:-1])
            if not 0 <= percent <= PERCENT:
                raise ValueError
            return Amount(percent=percent)
        units = quantity.value(text)
    except ValueError:
        raise InvalidThresholds(f"{text!r} is neither an amount nor a percentage") from None
    if units < 0:
        raise InvalidThresholds(f"{text!r} is negative")
    return Amount(units)


@dataclass(frozen=True, slots=True)
class History:
    """What one assessment leaves for the next."""

    since: Mapping[Threshold, float] = field(default_factory=dict)
    """The thresholds that counted, and from when on."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """Node condition -> when its cause was last there."""


@dataclass(frozen=True, slots=True)
class Assessment:
    history: History
    conditions: frozenset[str]
    """The node conditions that are True."""
    to_relieve: Threshold | None
    """The threshold to do something about now; memory before all others."""


def assess(
    levels: Mapping[Signal, Level],
    thresholds: Iterable[Threshold],
    before: History,
    transition_s: float,
    now_s: float,
) -> Assessment:
    counting = [t for t in thresholds if t.is_crossed(levels, with_reclaim=t in before.since)]
    since = {threshold: before.since.get(threshold, now_s) for threshold in counting}
    seen = dict(before.seen) | {CONDITIONS[threshold.signal]: now_s for threshold in counting}
    seen = {name: at for name, at in seen.items() if at == now_s or now_s - at < transition_s}
    due = [threshold for threshold, at in since.items() if now_s - at >= threshold.grace_s]
    due.sort(key=lambda threshold: (threshold.signal is not Signal.MEMORY, not threshold.is_hard))
    return Assessment(History(since, seen), frozenset(seen), due[0] if due else None)
