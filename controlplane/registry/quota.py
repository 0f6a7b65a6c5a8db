"""Nothing is created or grows beyond the ResourceQuotas of its namespace, however many ask at once.

Usage is counted from what is there, not from a number that was once written. Every write that adds to a quota'd
namespace also writes the namespace's internal key, guarded by the revision at which the usage was counted: of two
writes that counted the same state the second is refused by the store, and decided anew. What only frees needs no key.

Unlike kube-apiserver, which charges status.used and refuses while a new quota has none, the spec alone decides here;
status is what the quota controller shows.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from weakref import WeakValueDictionary

from controlplane.registry import failures
from controlplane.registry.quota_tally import QuotaTally
from controlplane.registry.strategy import Plan
from controlplane.store import keys
from controlplane.store.backend import Guard, Put
from controlplane.store.cache import WatchCache
from controlplane.store.shelf import Selection
from orch.api import quota_usage
from orch.api.kind import Kind
from orch.api.kinds import RESOURCEQUOTAS
from orch.api.meta import Object
from orch.api.quota_usage import Amounts
from orch.api.resourcequota import ResourceQuota
from orch.kit.clock import Clock

CHARGES = keys.INTERNAL + "quota/"


def charge_key(namespace: str) -> str:
    """Goes with its namespace."""
    return f"{CHARGES}{namespace}"


class Quotas:
    def __init__(self, cache: WatchCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tally = QuotaTally()

    @asynccontextmanager
    async def turn(self, kind: Kind[Any], namespace: str) -> AsyncIterator[None]:
        """One creation at a time where a quota counts: the others of this server would only be refused by the guard."""
        if not self._quotas(kind, namespace):
            yield
            return
        lock = self._turns.get(namespace)
        if lock is None:
            lock = self._turns[namespace] = asyncio.Lock()
        async with lock:
            yield

    def charged(self, plan: Plan[Any], kind: Kind[Any], namespace: str, old: Object | None) -> Plan[Any]:
        """The plan with what makes its charge safe. Raises Forbidden."""
        new = plan.obj
        if new is None or not (quotas := self._quotas(kind, namespace)):
            return plan
        now = self._clock.now()
        before = quota_usage.usage(kind, old, now) if old is not None else {}
        after = quota_usage.usage(kind, new, now)
        added = {name: more for name in after if (more := after[name] - before.get(name, Decimal(0))) > 0}
        looking = [quota for quota in quotas if quota_usage.in_scope(quota, new)]
        if not added or not looking:
            return plan
        for quota in looking:
            self._check(kind, new, old, added, quota)
        key = charge_key(namespace)
        present = self._cache.internal.get(key)
        guard = Guard(key, mod_revision=present.mod_revision if present else 0)
        return Plan(new, (*plan.guards, guard), (*plan.writes, Put(key, b"")))

    def _quotas(self, kind: Kind[Any], namespace: str) -> list[ResourceQuota]:
        if not namespace:
            return []
        found = self._cache.select(RESOURCEQUOTAS, Selection(namespace=namespace))
        return [item.obj for item in found if any(quota_usage.counts(kind, name) for name in item.obj.spec.hard or {})]

    def _check(self, kind: Kind[Any], new: Object, old: Object | None, added: Amounts, quota: ResourceQuota) -> None:
        hard, name = quota_usage.hard_amounts(quota), new.metadata.name
        if old is None and (problem := quota_usage.unspecified(kind, new, tuple(hard))):
            raise failures.forbidden(kind, name, f"failed quota: {quota.metadata.name}: {problem}")
        wanted = {resource: amount for resource, amount in added.items() if resource in hard}
        if not wanted:
            return
        if not self._tally.knows(quota, kind):
            self._tally.keep(lambda namespace, name: self._cache.exists(RESOURCEQUOTAS, namespace, name))
        present = (item.obj for item in self._cache.select(kind, Selection(namespace=new.metadata.namespace)))
        used = self._tally.used(quota, kind, present, self._clock.now())
        over = sorted(r for r, amount in wanted.items() if used.get(r, Decimal(0)) + amount > hard[r])
        if over:
            requested, taken, limited = (
                quota_usage.text({resource: amounts.get(resource, Decimal(0)) for resource in over})
                for amounts in (wanted, used, hard)
            )
            why = f"exceeded quota: {quota.metadata.name}, requested: {requested}, used: {taken}, limited: {limited}"
            raise failures.forbidden(kind, name, why)
