"""Nothing is created in a namespace that is absent or being deleted, and the system's own namespaces stay.

As the plugin NamespaceLifecycle of kube-apiserver.
"""

from collections.abc import Sequence
from typing import Any

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import failures
from controlplane.registry.namespace import TERMINATING
from controlplane.store import keys
from controlplane.store.backend import Guard
from controlplane.store.cache import WatchCache
from orch.api.kind import Kind
from orch.api.kinds import NAMESPACES
from orch.errors import Cause

IMMORTAL_NAMESPACES = ("default", "kube-system", "kube-public")


class NamespaceLifecycle:
    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    async def admit(self, request: Request, obj: Any) -> Any:
        if request.operation is Operation.CREATE and request.kind.namespaced:
            await self._check_open(request)
        elif request.operation is Operation.DELETE and _is_immortal(request.kind, request.name):
            raise failures.forbidden(request.kind, request.name, "this namespace may not be deleted")
        return obj

    async def _check_open(self, request: Request) -> None:
        if self._cache.get(NAMESPACES, "", request.namespace) is None:
            await self._cache.fresh()
        if (stored := self._cache.get(NAMESPACES, "", request.namespace)) is None:
            raise failures.not_found(NAMESPACES, request.namespace)
        if stored.obj.metadata.deletion_timestamp is not None or stored.obj.status.phase == TERMINATING:
            name = request.namespace
            why = f"unable to create new content in namespace {name} because it is being terminated"
            cause = Cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace")
            raise failures.forbidden(request.kind, request.name, why, [cause])

    def guards(self, kind: Kind[Any], namespace: str) -> Sequence[Guard]:
        """Holds as long as the namespace is as it was admitted: none is created in one that ends meanwhile."""
        if not kind.namespaced or (stored := self._cache.get(NAMESPACES, "", namespace)) is None:
            return ()
        return (Guard(keys.object_key(NAMESPACES, "", namespace), mod_revision=stored.revision),)


def _is_immortal(kind: Kind[Any], name: str) -> bool:
    return (kind.group, kind.plural) == (NAMESPACES.group, NAMESPACES.plural) and name in IMMORTAL_NAMESPACES
