"""Carries an eviction out: asks the pod's disruption budget, then deletes the pod.

Invariant: a healthy pod is deleted only after a disruption was taken from its budget by compare-and-swap.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from controlplane.registry import failures
from controlplane.registry.deletion import check_preconditions
from controlplane.registry.eviction import (
    budget_of,
    has_ended,
    has_not_begun,
    spares_budget,
    with_disruption,
)
from controlplane.registry.interface import RequestContext
from controlplane.registry.registry import Registry
from controlplane.store.cache import WatchCache
from controlplane.store.shelf import Selection
from orch.api.kinds import PODDISRUPTIONBUDGETS, PODS
from orch.api.meta import DeleteOptions, Preconditions
from orch.api.pod.spec import Pod
from orch.api.poddisruptionbudget import PodDisruptionBudget
from orch.errors import Conflict
from orch.kit.clock import Clock

ATTEMPTS_MAX = 10

DeletePod = Callable[[RequestContext, str, str, DeleteOptions], Awaitable[None]]
"""(context, namespace, name, options)"""


class Evictions:
    def __init__(self, registry: Registry, cache: WatchCache, delete: DeletePod, clock: Clock) -> None:
        self._registry = registry
        self._cache = cache
        self._delete = delete
        self._clock = clock

    async def evict(self, context: RequestContext, namespace: str, name: str, options: DeleteOptions) -> None:
        """Raises TooManyRequests when the budget does not allow it, NotFound, Conflict.

        What the client demands of the pod is checked before the budget pays; once it has paid nothing is tried again.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            pod = await self._present(namespace, name)
            check_preconditions(PODS, pod.metadata, options.preconditions)
            budget = None if has_ended(pod) or has_not_begun(pod) else self._budget_of(pod)
            try:
                if _is_spared(pod, budget):
                    await self._delete(context, namespace, name, _of_this_state(options, pod))
                    return
                if budget is not None:
                    await self._take(context, budget, name, dry_run=bool(options.dry_run))
                break
            except Conflict:
                if attempt == ATTEMPTS_MAX:
                    raise
        await self._delete(context, namespace, name, options)

    async def _present(self, namespace: str, name: str) -> Pod:
        await self._cache.fresh()
        if (stored := self._cache.get(PODS, namespace, name)) is None:
            raise failures.not_found(PODS, name)
        return stored.obj

    def _budget_of(self, pod: Pod) -> PodDisruptionBudget | None:
        budgets = self._cache.select(PODDISRUPTIONBUDGETS, Selection(namespace=pod.metadata.namespace))
        return budget_of(pod, [each.obj for each in budgets])

    async def _take(self, context: RequestContext, budget: PodDisruptionBudget, pod: str, *, dry_run: bool) -> None:
        async def change(present: PodDisruptionBudget) -> PodDisruptionBudget:
            return with_disruption(present, pod, self._clock.now())

        metadata = budget.metadata
        await self._registry.update(
            context,
            PODDISRUPTIONBUDGETS,
            metadata.namespace,
            metadata.name,
            change,
            subresource="status",
            dry_run=dry_run,
        )


def _is_spared(pod: Pod, budget: PodDisruptionBudget | None) -> bool:
    """Whether no budget counts the pod as it is now: it must still be in that state when it goes."""
    if has_ended(pod):
        return False
    return has_not_begun(pod) or (budget is not None and spares_budget(pod, budget))


def _of_this_state(options: DeleteOptions, pod: Pod) -> DeleteOptions:
    asked = options.preconditions or Preconditions()
    return replace(options, preconditions=replace(asked, resource_version=pod.metadata.resource_version))
