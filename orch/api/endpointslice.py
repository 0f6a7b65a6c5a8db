"""EndpointSlice (discovery.k8s.io/v1)."""

import ipaddress
from collections.abc import Sequence
from typing import Annotated, ClassVar

from orch.api.base import ApiStruct, Int32, always, apply_set
from orch.api.causes import Causes
from orch.api.change import change, each_or_none, fill
from orch.api.formats import dns_label_problem, dns_subdomain_problem, port_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.shared import ObjectReference
from orch.errors import Cause


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
    addresses: Annotated[tuple[str, ...], apply_set()] = always(())
    conditions: EndpointConditions | None = None
    deprecated_topology: dict[str, str] | None = None
    hints: EndpointHints | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None


class EndpointPort(ApiStruct):
    is_atomic: ClassVar[bool] = True
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


ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
ENDPOINTS_MAX = 1000
ADDRESSES_MAX = 100
PORTS_MAX = 20000
PROTOCOLS = ("SCTP", "TCP", "UDP")


def validate_endpointslice(endpoint_slice: EndpointSlice) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, endpoint_slice.metadata)
    causes.one_of("addressType", endpoint_slice.address_type, ADDRESS_TYPES)
    if len(endpoint_slice.endpoints) > ENDPOINTS_MAX:
        causes.too_many("endpoints", len(endpoint_slice.endpoints), ENDPOINTS_MAX)
    for index, endpoint in enumerate(endpoint_slice.endpoints):
        _endpoint_rules(causes, f"endpoints[{index}]", endpoint, endpoint_slice.address_type)
    _port_rules(causes, endpoint_slice.ports or ())
    return causes.found


def validate_endpointslice_update(new: EndpointSlice, old: EndpointSlice) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("addressType", new.address_type, old.address_type)
    return causes.found


def _endpoint_rules(causes: Causes, path: str, endpoint: Endpoint, address_type: str) -> None:
    if not endpoint.addresses:
        causes.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(endpoint.addresses) > ADDRESSES_MAX:
        causes.too_many(f"{path}.addresses", len(endpoint.addresses), ADDRESSES_MAX)
    for index, address in enumerate(endpoint.addresses):
        causes.check(f"{path}.addresses[{index}]", address, _address_problem(address, address_type))
    if endpoint.hostname:
        causes.check(f"{path}.hostname", endpoint.hostname, dns_label_problem(endpoint.hostname))


def _address_problem(address: str, address_type: str) -> str:
    if address_type == "FQDN":
        return dns_subdomain_problem(address.removesuffix("."))
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return "" if address_type == f"IPv{version}" else f"must be a valid {address_type} address"


def _port_rules(causes: Causes, ports: Sequence[EndpointPort]) -> None:
    if len(ports) > PORTS_MAX:
        causes.too_many("ports", len(ports), PORTS_MAX)
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.name or ""
        if name:
            causes.check(f"{path}.name", name, dns_label_problem(name))
        if name in names:
            causes.duplicate(f"{path}.name", name)
        names.add(name)
        causes.one_of(f"{path}.protocol", port.protocol, PROTOCOLS)
        if port.port is not None and (problem := port_problem(port.port)):
            causes.invalid(f"{path}.port", port.port, problem)
