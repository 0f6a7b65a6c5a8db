"""Endpoints (core/v1)."""

from orch.api.base import ApiStruct, Int32, always
from orch.api.change import change, each_or_none, fill_zero
from orch.api.meta import Object, ObjectMeta
from orch.api.shared import ObjectReference


class EndpointAddress(ApiStruct):
    hostname: str | None = None
    ip: str = always("")
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointsPort(ApiStruct):
    app_protocol: str | None = None
    name: str | None = None
    port: Int32 = always(0)
    protocol: str | None = None


class EndpointSubset(ApiStruct):
    addresses: tuple[EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[EndpointsPort, ...] | None = None


class Endpoints(Object):
    api_version: str = always("v1")
    kind: str = always("Endpoints")
    metadata: ObjectMeta = always(ObjectMeta())
    subsets: tuple[EndpointSubset, ...] | None = None


def endpoints_defaults(endpoints: Endpoints) -> Endpoints:
    return change(endpoints, subsets=each_or_none(endpoints.subsets, _subset_defaults))


def _subset_defaults(subset: EndpointSubset) -> EndpointSubset:
    return change(subset, ports=each_or_none(subset.ports, lambda port: fill_zero(port, protocol="TCP")))
