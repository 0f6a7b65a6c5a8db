"""The columns of services, endpoints and endpoint slices."""

from datetime import datetime

from controlplane.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Column,
    Printer,
    created,
    joined,
    labels,
    some,
    wide,
)
from orch.api.endpoints import Endpoints, EndpointSubset
from orch.api.endpointslice import EndpointSlice
from orch.api.service import Service, ServicePort


def service_cells(service: Service, now: datetime) -> list[Cell]:
    spec = service.spec
    return [
        service.metadata.name,
        spec.type or "ClusterIP",
        spec.cluster_ip or NONE,
        _external_ip(service),
        joined([_port(port) for port in spec.ports or ()]),
        created(service, now),
        labels(spec.selector),
    ]


def _port(port: ServicePort) -> str:
    number = f"{port.port}:{port.node_port}" if port.node_port else str(port.port)
    return f"{number}/{port.protocol or 'TCP'}"


def _external_ip(service: Service) -> str:
    spec = service.spec
    if spec.type == "ExternalName":
        return spec.external_name or NONE
    external = list(spec.external_ips or ())
    if spec.type != "LoadBalancer":
        return joined(external)
    given = [entry.ip or entry.hostname or "" for entry in service.status.load_balancer.ingress or ()]
    return ",".join([*given, *external]) or "<pending>"


def endpoints_cells(endpoints: Endpoints, now: datetime) -> list[Cell]:
    addresses = [text for subset in endpoints.subsets or () for text in _addresses(subset)]
    return [endpoints.metadata.name, some(addresses, NONE), created(endpoints, now)]


def _addresses(subset: EndpointSubset) -> list[str]:
    addresses = [address.ip for address in subset.addresses or ()]
    if not subset.ports:
        return addresses
    return [f"[{ip}]:{port.port}" if ":" in ip else f"{ip}:{port.port}" for port in subset.ports for ip in addresses]


def endpoint_slice_cells(slice_: EndpointSlice, now: datetime) -> list[Cell]:
    ports = ["*" if port.port is None else str(port.port) for port in slice_.ports or ()]
    addresses = [address for endpoint in slice_.endpoints for address in endpoint.addresses]
    return [
        slice_.metadata.name,
        slice_.address_type,
        some(ports, UNSET),
        some(addresses, UNSET),
        created(slice_, now),
    ]


SERVICES = Printer(
    (
        NAME,
        Column("Type"),
        Column("Cluster-IP", description="Address of the service inside the cluster."),
        Column("External-IP"),
        Column("Port(s)", description="port[:nodePort]/protocol"),
        AGE,
        wide("Selector"),
    ),
    service_cells,
)
ENDPOINTS = Printer((NAME, Column("Endpoints"), AGE), endpoints_cells)
ENDPOINTSLICES = Printer((NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE), endpoint_slice_cells)
