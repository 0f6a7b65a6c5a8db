"""The kinds of the core group (v1)."""

from collections.abc import Callable, Mapping

from orch.api.codec import StructCodec
from orch.api.configmap import ConfigMap, validate_configmap, validate_configmap_update
from orch.api.endpoints import Endpoints, endpoints_defaults, validate_endpoints
from orch.api.event import Event, event_defaults, validate_event
from orch.api.kind import Kind
from orch.api.metadata import object_validator, validate_metadata_update
from orch.api.namespace import Namespace, namespace_defaults, validate_namespace
from orch.api.node import Node, node_defaults, validate_node, validate_node_update
from orch.api.pod.defaults import pod_defaults
from orch.api.pod.spec import Pod
from orch.api.pod.update_rules import validate_pod_update
from orch.api.pod.validation import validate_pod
from orch.api.secret import Secret, secret_defaults, validate_secret, validate_secret_update
from orch.api.service import Service, service_defaults
from orch.api.service_rules import validate_service, validate_service_update
from orch.api.serviceaccount import ServiceAccount

_POD_FIELDS: Mapping[str, Callable[[Pod], str]] = {
    "spec.nodeName": lambda pod: pod.spec.node_name or "",
    "spec.restartPolicy": lambda pod: pod.spec.restart_policy or "",
    "spec.schedulerName": lambda pod: pod.spec.scheduler_name or "",
    "spec.serviceAccountName": lambda pod: pod.spec.service_account_name or "",
    "spec.hostNetwork": lambda pod: _boolean(pod.spec.host_network),
    "status.phase": lambda pod: pod.status.phase or "",
    "status.podIP": lambda pod: pod.status.pod_ip or "",
    "status.podIPs": lambda pod: ",".join(address.ip for address in pod.status.pod_ips or ()),
    "status.nominatedNodeName": lambda pod: pod.status.nominated_node_name or "",
}

_EVENT_FIELDS: Mapping[str, Callable[[Event], str]] = {
    "involvedObject.kind": lambda event: event.involved_object.kind or "",
    "involvedObject.namespace": lambda event: event.involved_object.namespace or "",
    "involvedObject.name": lambda event: event.involved_object.name or "",
    "involvedObject.uid": lambda event: event.involved_object.uid or "",
    "involvedObject.apiVersion": lambda event: event.involved_object.api_version or "",
    "involvedObject.resourceVersion": lambda event: event.involved_object.resource_version or "",
    "involvedObject.fieldPath": lambda event: event.involved_object.field_path or "",
    "reason": lambda event: event.reason or "",
    "reportingComponent": lambda event: event.reporting_component or "",
    "source": lambda event: event.source.component or event.reporting_component or "",
    "type": lambda event: event.type or "",
}


def _boolean(value: bool | None) -> str:
    return "true" if value else "false"


PODS: Kind[Pod] = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    singular="pod",
    codec=StructCodec(Pod),
    set_defaults=pod_defaults,
    validate=validate_pod,
    validate_update=validate_pod_update,
    short_names=("po",),
    categories=("all",),
    subresources=frozenset(
        {
            "status",
            "binding",
            "ephemeralcontainers",
            "resize",
            "eviction",
            "log",
            "exec",
            "attach",
            "portforward",
            "proxy",
        }
    ),
    fields=_POD_FIELDS,
)

NODES: Kind[Node] = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    singular="node",
    codec=StructCodec(Node),
    set_defaults=node_defaults,
    validate=validate_node,
    validate_update=validate_node_update,
    namespaced=False,
    short_names=("no",),
    subresources=frozenset({"status", "proxy"}),
    fields={"spec.unschedulable": lambda node: _boolean(node.spec.unschedulable)},
)

NAMESPACES: Kind[Namespace] = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    singular="namespace",
    codec=StructCodec(Namespace),
    set_defaults=namespace_defaults,
    validate=validate_namespace,
    validate_update=validate_metadata_update,
    namespaced=False,
    short_names=("ns",),
    subresources=frozenset({"status", "finalize"}),
    fields={"status.phase": lambda namespace: namespace.status.phase or ""},
)

CONFIGMAPS: Kind[ConfigMap] = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    singular="configmap",
    codec=StructCodec(ConfigMap),
    validate=validate_configmap,
    validate_update=validate_configmap_update,
    short_names=("cm",),
)

SECRETS: Kind[Secret] = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    singular="secret",
    codec=StructCodec(Secret),
    set_defaults=secret_defaults,
    validate=validate_secret,
    validate_update=validate_secret_update,
    fields={"type": lambda secret: secret.type or ""},
)

SERVICEACCOUNTS: Kind[ServiceAccount] = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    singular="serviceaccount",
    codec=StructCodec(ServiceAccount),
    validate=object_validator(namespaced=True),
    validate_update=validate_metadata_update,
    short_names=("sa",),
    subresources=frozenset({"token"}),
)

SERVICES: Kind[Service] = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    created_by_put=True,
    singular="service",
    codec=StructCodec(Service),
    set_defaults=service_defaults,
    validate=validate_service,
    validate_update=validate_service_update,
    short_names=("svc",),
    categories=("all",),
    subresources=frozenset({"status", "proxy"}),
    fields={
        "spec.clusterIP": lambda service: service.spec.cluster_ip or "",
        "spec.type": lambda service: service.spec.type or "",
    },
)

ENDPOINTS: Kind[Endpoints] = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    created_by_put=True,
    singular="endpoints",
    codec=StructCodec(Endpoints),
    set_defaults=endpoints_defaults,
    validate=validate_endpoints,
    validate_update=validate_metadata_update,
    short_names=("ep",),
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
)

EVENTS: Kind[Event] = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    created_by_put=True,
    singular="event",
    codec=StructCodec(Event),
    set_defaults=event_defaults,
    validate=validate_event,
    validate_update=validate_metadata_update,
    short_names=("ev",),
    fields=_EVENT_FIELDS,
)
