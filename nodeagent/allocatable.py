"""What of a node its pods may have, and the cgroups that hold them to it.

    <node>/kubepods               allocatable cpu as weight, allocatable memory as limit     (enforced)
           kubepods/burstable     cpu weight: the sum of its pods' requests
           kubepods/besteffort    cpu weight: the least there is
           kubepods/pod<uid>      guaranteed pods

As kubelet's pkg/kubelet/cm (node_container_manager_linux.go, qos_container_manager_linux.go): allocatable is capacity
without what is kept for the system and without what eviction is to leave untouched; the limit on pods is capacity
without the system's part alone, so that eviction comes before the kernel's killer.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import structlog

from nodeagent.allocations import Holding
from nodeagent.pressure import Signal, Threshold
from nodeagent.resources import CPU_SHARES_MIN, qos_class, shares
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.interface import Resources, RuntimeFault
from orch.api import quantity
from orch.errors import OrchError

log = structlog.get_logger(__name__)

RESERVABLE = ("cpu", "memory", "ephemeral-storage")
OF_SIGNAL = {Signal.MEMORY: "memory", Signal.NODEFS: "ephemeral-storage"}
KUBEPODS = "kubepods"


class InvalidReserve(OrchError):
    """What is to be kept for the system cannot be read, or is not there."""


def system_reserve(text: str) -> dict[str, str]:
    """`cpu=500m,memory=1Gi,ephemeral-storage=1Gi` as a resource list. Raises InvalidReserve."""
    reserve: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, amount = part.partition("=")
        if name not in RESERVABLE:
            raise InvalidReserve(f"--system-reserved: {name!r} is none of {', '.join(RESERVABLE)}")
        try:
            parsed = quantity.parse(amount)
        except ValueError as error:
            raise InvalidReserve(f"--system-reserved: {part!r}: {error}") from error
        if parsed < 0:
            raise InvalidReserve(f"--system-reserved: {part!r} is below zero")
        reserve[name] = amount
    return reserve


def pods_share(capacity: Mapping[str, str], reserve: Mapping[str, str]) -> dict[str, str]:
    """What the system leaves to pods. Raises InvalidReserve when more is to be kept than there is."""
    for name, kept in reserve.items():
        if quantity.parse(kept) > quantity.parse(capacity[name]):
            raise InvalidReserve(f"--system-reserved: {name}={kept} is more than the node has, {capacity[name]}")
    return without(capacity, reserve)


def without(amounts: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    left = dict(amounts)
    for name, amount in kept.items():
        rest = max(quantity.parse(amounts[name]) - quantity.parse(amount), Decimal(0))
        left[name] = quantity.canonical(f"{int(rest * 1000)}m") if name == "cpu" else f"{int(rest) // 1024}Ki"
    return left


def eviction_reserve(capacity: Mapping[str, str], thresholds: Iterable[Threshold]) -> dict[str, str]:
    """What hard thresholds of eviction leave untouched."""
    hard = [threshold for threshold in thresholds if threshold.is_hard and threshold.signal in OF_SIGNAL]
    named = ((OF_SIGNAL[threshold.signal], threshold.least) for threshold in hard)
    return {name: str(least.of(quantity.value(capacity[name]))) for name, least in named}


def burstable_shares(holdings: Iterable[Holding]) -> int:
    return shares(sum(held.requests["cpu"] for held in holdings if qos_class(held.pod) == "Burstable"))


class PodsCgroups:
    """The cgroups above those of pods. `root`: the node's, relative to the hierarchies' roots."""

    def __init__(self, root: str, cgroups: Cgroups) -> None:
        self._root, self._cgroups = f"{root}/{KUBEPODS}", cgroups
        self._told = 0

    def limit(self, share: Mapping[str, str]) -> None:
        """At the agent's start: what all pods together may have."""
        cpu, memory = shares(quantity.milli(share["cpu"])), quantity.value(share["memory"])
        self._set("", Resources(cpu_shares=cpu, memory_limit_bytes=memory))
        self._set("besteffort", Resources(cpu_shares=CPU_SHARES_MIN))

    def pods_changed(self, holdings: Iterable[Holding]) -> None:
        """Of all pods."""
        wanted = burstable_shares(holdings)
        if wanted != self._told and self._set("burstable", Resources(cpu_shares=wanted)):
            self._told = wanted

    def _set(self, below: str, resources: Resources) -> bool:
        """What cannot be set (pods that run hold more memory) costs fairness, not the node."""
        try:
            self._cgroups.create(f"{self._root}/{below}".rstrip("/"), resources)
        except RuntimeFault as error:
            log.warning("pods_not_limited", cgroup=below or KUBEPODS, error=str(error))
            return False
        return True
