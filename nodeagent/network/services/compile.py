"""What a Service means on this node: its virtual addresses and ports, and the backends behind each. Pure.

Follows kube-proxy: ready endpoints count, and only when there is none those that still serve while they terminate;
a traffic policy `Local` keeps the endpoints of this node. A Service that names no cluster address makes nothing here
(headless and ExternalName live in DNS alone), nor does one that another proxy claims.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointSlice
from orch.api.service import Service, ServicePort

OTHER_PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
AFFINITY_TIMEOUT_DEFAULT_S = 10_800
"""sessionAffinityConfig.clientIP.timeoutSeconds, as core/v1 defaults it."""


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    address: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Frontend:
    """Where clients connect to. An empty address: every address of the node (a node port)."""

    address: str
    protocol: str
    """tcp, udp or sctp, as nft writes it."""
    port: int

    @property
    def is_node_port(self) -> bool:
        return not self.address


@dataclass(frozen=True, slots=True)
class VirtualPort:
    """A frontend and what is behind it, in a stable order."""

    frontend: Frontend
    backends: tuple[Backend, ...]
    inside_backends: tuple[Backend, ...] | None = None
    """For clients inside the cluster, where they may reach more than those outside (externalTrafficPolicy Local)."""
    affinity_timeout_s: int = 0
    """0: no session affinity."""
    in_service_range: bool = True
    """False for addresses that packets may also have other reasons to go to."""

    @property
    def drops_outsiders(self) -> bool:
        """Backends exist but none is here: another node answers, so outsiders are left to time out and try that."""
        return not self.backends and bool(self.inside_backends)


def compile_service(service: Service, slices: Iterable[EndpointSlice], node_name: str) -> tuple[VirtualPort, ...]:
    """`slices` are those of this Service (label kubernetes.io/service-name)."""
    if not _is_proxied(service):
        return ()
    known = tuple(found for found in slices if found.address_type == "IPv4")
    compiled: list[VirtualPort] = []
    for port in service.spec.ports or ():
        compiled.extend(_compile_port(service, port, known, node_name))
    return tuple(compiled)


def _is_proxied(service: Service) -> bool:
    labels = service.metadata.labels or {}
    return service.spec.type != "ExternalName" and OTHER_PROXY_LABEL not in labels and bool(cluster_addresses(service))


def cluster_addresses(service: Service) -> tuple[str, ...]:
    """The Service's IPv4 cluster addresses; none when it is headless."""
    declared = service.spec.cluster_ips or (service.spec.cluster_ip or "",)
    return tuple(address for address in declared if _is_ipv4(address))


def _external_addresses(service: Service) -> tuple[str, ...]:
    """externalIPs, and what a load balancer sends here unrewritten (ipMode VIP)."""
    found = [address for address in service.spec.external_ips or () if _is_ipv4(address)]
    # Whom loadBalancerSourceRanges would keep out must not come in: with them the address is not served.
    if not service.spec.load_balancer_source_ranges:
        ingress = service.status.load_balancer.ingress or ()
        found += [entry.ip for entry in ingress if entry.ip and _is_ipv4(entry.ip) and entry.ip_mode != "Proxy"]
    return tuple(dict.fromkeys(found))


def _compile_port(
    service: Service, port: ServicePort, slices: tuple[EndpointSlice, ...], node_name: str
) -> Iterable[VirtualPort]:
    everywhere = _backends(port, slices, "")
    here = _backends(port, slices, node_name)
    protocol = (port.protocol or "TCP").lower()
    timeout_s = _affinity_timeout_s(service)
    internal = here if service.spec.internal_traffic_policy == "Local" else everywhere
    for address in cluster_addresses(service):
        yield VirtualPort(Frontend(address, protocol, port.port), internal, None, timeout_s)
    local = service.spec.external_traffic_policy == "Local"
    outside, inside = (here, everywhere) if local else (everywhere, None)
    for address in _external_addresses(service):
        yield VirtualPort(Frontend(address, protocol, port.port), outside, inside, timeout_s, in_service_range=False)
    if port.node_port:
        frontend = Frontend("", protocol, port.node_port)
        yield VirtualPort(frontend, outside, inside, timeout_s, in_service_range=False)


def _affinity_timeout_s(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    timeout = config.client_ip.timeout_seconds if config and config.client_ip else None
    return timeout or AFFINITY_TIMEOUT_DEFAULT_S


def _backends(port: ServicePort, slices: tuple[EndpointSlice, ...], node_name: str) -> tuple[Backend, ...]:
    """Sorted. With a `node_name`, only the endpoints of that node."""
    ready: set[Backend] = set()
    terminating: set[Backend] = set()
    for found in slices:
        number = _port_number(found, port)
        for endpoint in found.endpoints if number else ():
            if not endpoint.addresses or (node_name and endpoint.node_name != node_name):
                continue
            conditions = endpoint.conditions or EndpointConditions()
            backend = Backend(endpoint.addresses[0], number)
            if conditions.ready is not False:
                ready.add(backend)
            elif is_serving_while_terminating(endpoint):
                terminating.add(backend)
    return tuple(sorted(ready or terminating))


def is_serving_while_terminating(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is not None and bool(conditions.serving) and bool(conditions.terminating)


def _port_number(found: EndpointSlice, port: ServicePort) -> int:
    """The slice's port of the same name and protocol; 0 when it has none."""
    for candidate in found.ports or ():
        if (candidate.name or "") == (port.name or "") and (candidate.protocol or "TCP") == (port.protocol or "TCP"):
            return candidate.port or 0
    return 0


def _is_ipv4(address: str) -> bool:
    with suppress(AddressValueError):
        return bool(IPv4Address(address).packed)
    return False
