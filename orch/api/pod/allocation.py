"""What a pod's containers hold of a node while a resize may be under way. Pure.

As component-helpers PodRequests with UseStatusResources: a container counts with the most of what it asks for, what its
node has set aside for it, and what it runs with; what the node says can never be has no weight.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from orch.api.base import Quantity
from orch.api.pod.container import Container
from orch.api.pod.effective import largest
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStatus
from orch.api.shared import ResourceRequirements

N = TypeVar("N", int, Decimal)
RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
DEFERRED, INFEASIBLE = "Deferred", "Infeasible"
"""Reasons of PodResizePending: no room for it now; no room for it on this node ever."""


def held_requests(
    pod: Pod, amounts: Callable[[Mapping[str, Quantity] | None], dict[str, N]]
) -> Callable[[Container], dict[str, N]]:
    """Container -> its requests as they count, in the units of `amounts`."""
    statuses = {
        s.name: s for s in (*(pod.status.container_statuses or ()), *(pod.status.init_container_statuses or ()))
    }
    infeasible = any(c.type == RESIZE_PENDING and c.reason == INFEASIBLE for c in pod.status.conditions or ())

    def requests(container: Container) -> dict[str, N]:
        asked, status = amounts(container.resources.requests), statuses.get(container.name)
        if status is None or status.allocated_resources is None:
            return asked
        held = _held(status, amounts)
        return {**asked, **held} if infeasible else largest(asked, held)

    return requests


def _held(status: ContainerStatus, amounts: Callable[[Mapping[str, Quantity] | None], dict[str, N]]) -> dict[str, N]:
    running = (status.resources or ResourceRequirements()).requests
    return largest(amounts(status.allocated_resources), amounts(running))
