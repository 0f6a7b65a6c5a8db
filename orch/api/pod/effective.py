"""What a pod asks for as a whole, of what its containers ask for (component-helpers PodRequests and PodLimits).

Knows neither units nor overhead: the caller says how the amounts of one container are read.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from orch.api.pod.container import Container
from orch.api.pod.spec import PodSpec

N = TypeVar("N", int, Decimal)


def effective(spec: PodSpec, amounts_of: Callable[[Container], Mapping[str, N]]) -> dict[str, N]:
    """The sum over what runs at the same time, at its largest.

    Sidecars (init containers that restart always) run beside everything that starts after them; another init
    container runs alone with the sidecars before it, so that the larger of the two phases counts.
    """
    running = summed(amounts_of(container) for container in spec.containers)
    sidecars: dict[str, N] = {}
    starting: dict[str, N] = {}
    for container in spec.init_containers or ():
        if container.restart_policy == "Always":
            sidecars = summed((sidecars, amounts_of(container)))
            starting = largest(starting, sidecars)
        else:
            starting = largest(starting, summed((sidecars, amounts_of(container))))
    return largest(starting, summed((running, sidecars)))


def summed(parts: Iterable[Mapping[str, N]]) -> dict[str, N]:
    total: dict[str, N] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total[name] + amount if name in total else amount
    return total


def largest(one: Mapping[str, N], other: Mapping[str, N]) -> dict[str, N]:
    return {name: max(one[name], other[name]) if name in one and name in other else amount
            for name, amount in {**one, **other}.items()}  # fmt: skip
