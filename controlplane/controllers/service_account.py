"""The ServiceAccount `default` of every namespace."""

from collections.abc import Iterable
from datetime import datetime

from controlplane.controllers.actions import NOTHING, Create, Decision
from controlplane.controllers.runner import Controller, Watch
from orch.api.kinds import NAMESPACES, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.api.serviceaccount import ServiceAccount
from orch.client.informer import Informers, Key

DEFAULT = "default"


def reconcile(namespace: Namespace, account: ServiceAccount | None) -> Decision:
    """`account`: the one named `default`."""
    if account is not None or namespace.metadata.deletion_timestamp is not None:
        return NOTHING
    metadata = ObjectMeta(namespace=namespace.metadata.name, name=DEFAULT)
    return Decision((Create(SERVICEACCOUNTS, ServiceAccount(metadata=metadata)),))


def service_account_controller(informers: Informers) -> Controller:
    namespaces, accounts = informers.of(NAMESPACES), informers.of(SERVICEACCOUNTS)

    def decide(key: Key, now: datetime) -> Decision:
        namespace = namespaces.get("", key[0])
        return reconcile(namespace, accounts.get(*key)) if namespace else NOTHING

    def keys_of_namespace(old: Namespace | None, new: Namespace | None) -> Iterable[Key]:
        return ((new.metadata.name, DEFAULT),) if new else ()

    def keys_of_account(old: ServiceAccount | None, new: ServiceAccount | None) -> Iterable[Key]:
        gone = new is None and old is not None and old.metadata.name == DEFAULT
        return ((old.metadata.namespace, DEFAULT),) if gone and old else ()

    watches = (Watch(namespaces, keys_of_namespace), Watch(accounts, keys_of_account))
    return Controller("service-account", SERVICEACCOUNTS, watches, decide)
