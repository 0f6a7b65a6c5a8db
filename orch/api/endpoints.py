"""Endpoints (core/v1)."""

from collections.abc import Sequence
from typing import ClassVar

from orch.api.base import ApiStruct, Int32, always
from orch.api.causes import Causes
from orch.api.change import change, each_or_none, fill_zero
from orch.api.formats import dns_label_problem, ip_problem, port_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.api.shared import ObjectReference
from orch.errors import Cause

SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
"""Label of Endpoints of which no EndpointSlices are made."""


class EndpointAddress(ApiStruct):
    is_atomic: ClassVar[bool] = True
    hostname: str | None = None
    ip: str = always("")
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointsPort(ApiStruct):
    is_atomic: ClassVar[bool] = True
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


PROTOCOLS = ("SCTP", "TCP", "UDP")


def validate_endpoints(endpoints: Endpoints) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, endpoints.metadata)
    for index, subset in enumerate(endpoints.subsets or ()):
        _subset_rules(causes, f"subsets[{index}]", subset)
    return causes.found


def _subset_rules(causes: Causes, path: str, subset: EndpointSubset) -> None:
    if not subset.addresses and not subset.not_ready_addresses:
        causes.required(path, "must specify `addresses` or `notReadyAddresses`")
    for name, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
        for index, address in enumerate(addresses or ()):
            at = f"{path}.{name}[{index}]"
            causes.check(f"{at}.ip", address.ip, ip_problem(address.ip))
            if address.hostname:
                causes.check(f"{at}.hostname", address.hostname, dns_label_problem(address.hostname))
    for index, port in enumerate(subset.ports or ()):
        at = f"{path}.ports[{index}]"
        if len(subset.ports or ()) > 1 and not port.name:
            causes.required(f"{at}.name")
        elif port.name:
            causes.check(f"{at}.name", port.name, dns_label_problem(port.name))
        if problem := port_problem(port.port):
            causes.invalid(f"{at}.port", port.port, problem)
        causes.one_of(f"{at}.protocol", port.protocol, PROTOCOLS)
