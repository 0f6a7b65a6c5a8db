"""The ConfigMap `kube-root-ca.crt` of every namespace: the authority by which pods know the API server.

Made anew when it is deleted, put right when somebody changes it.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Create, Decision, Update
from controlplane.controllers.runner import Controller, Watch
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, NAMESPACES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.client.informer import Informers, Key

NAME, FILE = "kube-root-ca.crt", "ca.crt"
DESCRIPTION = {
    "kubernetes.io/description": "The certificate authority of the cluster's API server, for clients inside pods."
}


def reconcile(namespace: Namespace, present: ConfigMap | None, ca_pem: str) -> Decision:
    data = {FILE: ca_pem}
    if namespace.metadata.deletion_timestamp is not None:
        return NOTHING
    if present is None:
        metadata = ObjectMeta(namespace=namespace.metadata.name, name=NAME, annotations=DESCRIPTION)
        return Decision((Create(CONFIGMAPS, ConfigMap(metadata=metadata, data=data)),))
    if present.data == data and not present.binary_data:
        return NOTHING
    return Decision((Update(CONFIGMAPS, replace(present, data=data, binary_data=None)),))


def root_ca_controller(informers: Informers, ca_pem: str) -> Controller:
    namespaces, config_maps = informers.of(NAMESPACES), informers.of(CONFIGMAPS)

    def decide(key: Key, now: datetime) -> Decision:
        namespace = namespaces.get("", key[0])
        return reconcile(namespace, config_maps.get(*key), ca_pem) if namespace else NOTHING

    def keys_of_namespace(old: Namespace | None, new: Namespace | None) -> Iterable[Key]:
        return ((new.metadata.name, NAME),) if new else ()

    def keys_of_config_map(old: ConfigMap | None, new: ConfigMap | None) -> Iterable[Key]:
        obj = new or old
        return ((obj.metadata.namespace, NAME),) if obj and obj.metadata.name == NAME else ()

    watches = (Watch(namespaces, keys_of_namespace), Watch(config_maps, keys_of_config_map))
    return Controller("root-ca", CONFIGMAPS, watches, decide)
