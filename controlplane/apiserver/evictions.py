"""Carries an eviction out: asks the pod's disruption budget, then deletes the pod.

Invariant: a healthy pod is deleted only after a disruption was taken from its budget by compare-and-swap.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from controlplane.registry import failures
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
        """Raises TooManyRequests when the budget does not allow it, NotFound, Conflict."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            await self._cache.fresh()
            if (stored := self._cache.get(PODS, namespace, name)) is None:
                raise failures.not_found(PODS, name)
            try:
                await self._evict(context, stored.obj, options)
            except Conflict:
                if attempt == ATTEMPTS_MAX or _names_revision(options):
                    raise
            else:
                return

    async def _evict(self, context: RequestContext, pod: Pod, options: DeleteOptions) -> None:
        """A pod that was judged not to count must still be in that state when it goes."""
        namespace, name = pod.metadata.namespace, pod.metadata.name
        if has_ended(pod):
            await self._delete(context, namespace, name, options)
            return
        budget = None if has_not_begun(pod) else self._budget_of(pod)
        if has_not_begun(pod) or (budget is not None and spares_budget(pod, budget)):
            await self._delete(context, namespace, name, _of_this_state(options, pod))
            return
        if budget is not None:
            await self._take(context, budget, name, dry_run=bool(options.dry_run))
        await self._delete(context, namespace, name, options)

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


def _names_revision(options: DeleteOptions) -> bool:
    return options.preconditions is not None and options.preconditions.resource_version is not None


def _of_this_state(options: DeleteOptions, pod: Pod) -> DeleteOptions:
    if _names_revision(options):
        return options
    asked = options.preconditions or Preconditions()
    return replace(options, preconditions=replace(asked, resource_version=pod.metadata.resource_version))
