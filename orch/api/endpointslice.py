"""EndpointSlice (discovery.k8s.io/v1)."""

from orch.api.base import ApiStruct, Int32, always
from orch.api.change import change, each_or_none, fill
from orch.api.meta import Object, ObjectMeta
from orch.api.shared import ObjectReference


class EndpointConditions(ApiStruct):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForNode(ApiStruct):
    name: str = always("")


class ForZone(ApiStruct):
    name: str = always("")


class EndpointHints(ApiStruct):
    for_nodes: tuple[ForNode, ...] | None = None
    for_zones: tuple[ForZone, ...] | None = None


class Endpoint(ApiStruct):
    addresses: tuple[str, ...] = always(())
    conditions: EndpointConditions | None = None
    deprecated_topology: dict[str, str] | None = None
    hints: EndpointHints | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None


class EndpointPort(ApiStruct):
    app_protocol: str | None = None
    name: str | None = None
    port: Int32 | None = None
    protocol: str | None = None


class EndpointSlice(Object):
    api_version: str = always("discovery.k8s.io/v1")
    kind: str = always("EndpointSlice")
    metadata: ObjectMeta = always(ObjectMeta())
    address_type: str = always("")
    endpoints: tuple[Endpoint, ...] = always(())
    ports: tuple[EndpointPort, ...] | None = None


def endpointslice_defaults(endpoint_slice: EndpointSlice) -> EndpointSlice:
    ports = each_or_none(endpoint_slice.ports, lambda port: fill(port, name="", protocol="TCP"))
    return change(endpoint_slice, ports=ports)
