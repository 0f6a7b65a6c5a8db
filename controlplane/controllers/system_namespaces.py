"""The namespaces that every cluster has: one that somebody deletes returns (as kube-apiserver's controller of it).

The server makes them at its start (registry/bootstrap.py); of the four only kube-node-lease may be deleted at all.
"""

from collections.abc import Iterable
from datetime import datetime

from controlplane.controllers.actions import NOTHING, Create, Decision
from controlplane.controllers.runner import Controller, Watch
from controlplane.registry.bootstrap import SYSTEM_NAMESPACES
from orch.api.kinds import NAMESPACES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.client.informer import Informers, Key


def reconcile(name: str, namespace: Namespace | None) -> Decision:
    """`namespace`: the one of this name; one that is going is waited for."""
    if name not in SYSTEM_NAMESPACES or namespace is not None:
        return NOTHING
    return Decision((Create(NAMESPACES, Namespace(metadata=ObjectMeta(name=name))),))


def system_namespaces_controller(informers: Informers) -> Controller:
    namespaces = informers.of(NAMESPACES)

    def decide(key: Key, now: datetime) -> Decision:
        return reconcile(key[1], namespaces.get(*key))

    def keys_of_gone(old: Namespace | None, new: Namespace | None) -> Iterable[Key]:
        return (("", old.metadata.name),) if old is not None and new is None else ()

    return Controller("system-namespaces", NAMESPACES, (Watch(namespaces, keys_of_gone),), decide)
