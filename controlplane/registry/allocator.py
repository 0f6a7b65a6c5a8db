"""Numbers that must be given out once only: Service addresses and node ports.

An allocation is an internal key that is created in the transaction of the Service that holds it, guarded by its
absence, and deleted with it. The cache shows what is taken; if it lags, the guard refuses and the registry decides
again.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from controlplane.store import keys
from controlplane.store.backend import Delete, Entry, Guard, Put

CLUSTER_IPS = keys.INTERNAL + "clusterips/"
NODE_PORTS = keys.INTERNAL + "nodeports/"

STATIC_BAND_MIN, STATIC_BAND_MAX, STATIC_BAND_DIVISOR = 16, 256, 16
"""The low end of the service range is given out last, so that chosen addresses seldom collide (KEP-3070)."""


@dataclass(frozen=True, slots=True)
class Pool:
    """`low` to `high`, both included; numbers from `preferred` on are given out first."""

    prefix: str
    low: int
    high: int
    preferred: int

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def key(self, number: int) -> str:
        return f"{self.prefix}{number}"

    def first_free(self, taken: Mapping[str, Entry], also_taken: Iterable[int], fraction: float) -> int | None:
        """A free number, searched from a place that `fraction` (0 to 1) chooses. None: all are taken."""
        blocked = tuple(also_taken)
        start = self.preferred + int(fraction * (self.high - self.preferred))
        for numbers in (range(start, self.high + 1), range(self.preferred, start), range(self.low, self.preferred)):
            for number in numbers:
                if self.key(number) not in taken and number not in blocked:
                    return number
        return None


def node_port_pool(low: int, high: int) -> Pool:
    return Pool(NODE_PORTS, low, high, low)


def cluster_ip_pool(cidr: str) -> Pool:
    """Without the network's own address and, as in Kubernetes, the last."""
    network = ipaddress.IPv4Network(cidr)
    low, high = int(network.network_address) + 1, int(network.broadcast_address) - 1
    size = high - low + 1
    band = min(max(STATIC_BAND_MIN, size // STATIC_BAND_DIVISOR), STATIC_BAND_MAX)
    return Pool(CLUSTER_IPS, low, high, low + band if size > band else low)


class Claims:
    """The allocations of one object: what it held, what it is to hold, and the writes between them."""

    def __init__(self, taken: Mapping[str, Entry], holder: str, uniform: Callable[[float, float], float]) -> None:
        self._taken = taken
        self._holder = holder.encode()
        self._uniform = uniform
        self._had: list[str] = []
        self._has: list[str] = []

    def had(self, pool: Pool, number: int) -> None:
        self._had.append(pool.key(number))

    def keep_or_take(self, pool: Pool, number: int) -> bool:
        """False when another object holds it."""
        key = pool.key(number)
        if key in self._taken and key not in self._had:
            return False
        self._has.append(key)
        return True

    def take_any(self, pool: Pool) -> int | None:
        mine = [int(key.removeprefix(pool.prefix)) for key in self._has if key.startswith(pool.prefix)]
        number = pool.first_free(self._taken, mine, self._uniform(0.0, 1.0))
        if number is not None:
            self._has.append(pool.key(number))
        return number

    def transaction(self) -> tuple[tuple[Guard, ...], tuple[Put | Delete, ...]]:
        """Guards and writes. An allocation that is kept is not written."""
        new = [key for key in dict.fromkeys(self._has) if key not in self._had]
        gone = [key for key in dict.fromkeys(self._had) if key not in self._has]
        puts = [Put(key, self._holder) for key in new]
        return tuple(Guard(key, mod_revision=0) for key in new), (*puts, *(Delete(key) for key in gone))
