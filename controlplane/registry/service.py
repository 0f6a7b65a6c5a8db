"""Services: cluster IPs and node ports, given out and taken back in the Service's own transaction. IPv4, one family."""

import ipaddress
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from controlplane.registry import failures
from controlplane.registry.allocator import Claims, Pool
from controlplane.registry.strategy import Plan, Strategy
from controlplane.store.backend import Delete, Entry
from orch.api.kind import Kind
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.errors import InternalError

HEADLESS = "None"
EXTERNAL_NAME = "ExternalName"
TYPES_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
IPV4 = "IPv4"
SINGLE_STACK = "SingleStack"


class ServiceStrategy(Strategy[Service]):
    def __init__(
        self,
        kind: Kind[Service],
        *,
        addresses: Pool,
        node_ports: Pool,
        taken: Mapping[str, Entry],
        uniform: Callable[[float, float], float],
    ) -> None:
        super().__init__(kind)
        self._addresses = addresses
        self._node_ports = node_ports
        self._taken = taken
        self._uniform = uniform

    @property
    def counts_generations(self) -> bool:
        return False

    def prepare_create(self, obj: Service) -> Service:
        return replace(super().prepare_create(obj), spec=_with_families(obj.spec))

    def prepare_update(self, new: Service, old: Service) -> Service:
        """A client that leaves allocated values out means to keep them (`patchAllocatedValues` of kube-apiserver)."""
        spec = _without_unneeded(_with_kept_ports(_with_kept_address(new.spec, old.spec), old.spec), old.spec)
        return replace(super().prepare_update(new, old), spec=_with_families(spec))

    def plan(self, new: Service | None, old: Service | None) -> Plan[Service]:
        named = new or old
        assert named is not None
        claims = Claims(self._taken, f"{named.metadata.namespace}/{named.metadata.name}", self._uniform)
        if old is not None:
            self._claim_held(claims, old.spec)
        if new is not None:
            new = self._with_address(claims, new)
            new = self._with_node_ports(claims, new)
        guards, writes = claims.transaction()
        return Plan(new, guards, writes)

    def plan_forget(self, named: Service) -> Plan[Service]:
        """Every allocation says who holds it."""
        holder = f"{named.metadata.namespace}/{named.metadata.name}".encode()
        prefixes = (self._addresses.prefix, self._node_ports.prefix)
        held = [key for key, entry in self._taken.items() if key.startswith(prefixes) and entry.value == holder]
        return Plan(None, writes=tuple(Delete(key) for key in held))

    def _claim_held(self, claims: Claims, spec: ServiceSpec) -> None:
        if _has_address(spec):
            claims.had(self._addresses, _number(spec.cluster_ip or ""))
        for port in spec.ports or ():
            if port.node_port:
                claims.had(self._node_ports, port.node_port)
        if spec.health_check_node_port:
            claims.had(self._node_ports, spec.health_check_node_port)

    def _with_address(self, claims: Claims, service: Service) -> Service:
        spec = service.spec
        if spec.type == EXTERNAL_NAME or spec.cluster_ip == HEADLESS:
            return service
        if not spec.cluster_ip:
            if (number := claims.take_any(self._addresses)) is None:
                raise InternalError("failed to allocate a serviceIP: range is full")
            address = str(ipaddress.IPv4Address(number))
            return replace(service, spec=replace(spec, cluster_ip=address, cluster_ips=(address,)))
        if why := self._address_problem(claims, spec.cluster_ip):
            raise failures.invalid_value(self.kind, service.metadata.name, "spec.clusterIPs", [spec.cluster_ip], why)
        return service

    def _address_problem(self, claims: Claims, address: str) -> str:
        try:
            number = _number(address)
        except ValueError:
            return "must be a valid IPv4 address"
        if number not in self._addresses:
            low, high = (ipaddress.IPv4Address(bound) for bound in (self._addresses.low, self._addresses.high))
            return f"failed to allocate IP {address}: the provided IP is not in the valid range {low}-{high}"
        if not claims.keep_or_take(self._addresses, number):
            return f"failed to allocate IP {address}: provided IP is already allocated"
        return ""

    def _with_node_ports(self, claims: Claims, service: Service) -> Service:
        if service.spec.type not in TYPES_WITH_NODE_PORTS:
            return service
        name, spec = service.metadata.name, service.spec
        for index, port in enumerate(spec.ports or ()):
            if port.node_port:
                self._keep_port(claims, name, f"spec.ports[{index}].nodePort", port.node_port)
        if self._wants_health_port(spec) and spec.health_check_node_port:
            self._keep_port(claims, name, "spec.healthCheckNodePort", spec.health_check_node_port)
        if spec.allocate_load_balancer_node_ports is not False or spec.type == "NodePort":
            spec = replace(spec, ports=self._ports_taken(claims, spec.ports or ()))
        if self._wants_health_port(spec) and not spec.health_check_node_port:
            spec = replace(spec, health_check_node_port=self._any_port(claims))
        return replace(service, spec=spec)

    def _ports_taken(self, claims: Claims, ports: tuple[ServicePort, ...]) -> tuple[ServicePort, ...]:
        """Ports with the same number and another protocol share a node port."""
        by_port = {port.port: port.node_port for port in ports if port.node_port}
        taken = []
        for port in ports:
            node_port = port.node_port or by_port.get(port.port) or self._any_port(claims)
            by_port[port.port] = node_port
            taken.append(port if port.node_port else replace(port, node_port=node_port))
        return tuple(taken)

    def _wants_health_port(self, spec: ServiceSpec) -> bool:
        return spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"

    def _any_port(self, claims: Claims) -> int:
        if (number := claims.take_any(self._node_ports)) is None:
            raise InternalError("failed to allocate a nodePort: range is full")
        return number

    def _keep_port(self, claims: Claims, name: str, field: str, number: int) -> None:
        """Raises Invalid."""
        why = ""
        if number not in self._node_ports:
            bounds = f"{self._node_ports.low}-{self._node_ports.high}"
            why = f"provided port is not in the valid range. The range of valid ports is {bounds}"
        elif not claims.keep_or_take(self._node_ports, number):
            why = "provided port is already allocated"
        if why:
            raise failures.invalid_value(self.kind, name, field, number, why)


def _number(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def _has_address(spec: ServiceSpec) -> bool:
    return spec.type != EXTERNAL_NAME and spec.cluster_ip not in (None, "", HEADLESS)


def _with_families(spec: ServiceSpec) -> ServiceSpec:
    """clusterIP and clusterIPs say the same; the family is the only one that there is."""
    if spec.type == EXTERNAL_NAME:
        return spec
    address = spec.cluster_ip or (spec.cluster_ips[0] if spec.cluster_ips else None)
    return replace(
        spec,
        cluster_ip=address,
        cluster_ips=(spec.cluster_ips or (address,)) if address else None,
        ip_families=spec.ip_families or (IPV4,),
        ip_family_policy=spec.ip_family_policy or SINGLE_STACK,
    )


def _with_kept_address(new: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """Who changes clusterIP alone means clusterIPs too (core/service `normalizeClusterIPs`)."""
    if new.cluster_ip and new.cluster_ip != old.cluster_ip and new.cluster_ips == old.cluster_ips and new.cluster_ips:
        return replace(new, cluster_ips=(new.cluster_ip, *new.cluster_ips[1:]))
    if new.type == EXTERNAL_NAME or old.type == EXTERNAL_NAME or new.cluster_ip or new.cluster_ips:
        return new
    return replace(new, cluster_ip=old.cluster_ip, cluster_ips=old.cluster_ips)


def _with_kept_ports(new: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    if new.type not in TYPES_WITH_NODE_PORTS or old.type not in TYPES_WITH_NODE_PORTS:
        return new
    held = {(port.port, port.protocol): port.node_port for port in old.ports or ()}
    wanted = {port.node_port for port in new.ports or () if port.node_port}
    ports = []
    for port in new.ports or ():
        node_port = held.get((port.port, port.protocol))
        free = node_port is not None and node_port not in wanted
        ports.append(replace(port, node_port=node_port) if free and not port.node_port else port)
    return replace(new, ports=tuple(ports) if new.ports is not None else None)


def _without_unneeded(new: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """A change of type gives back what the new type has no use for, unless the client set it (`dropTypeDependent`)."""
    if new.type == EXTERNAL_NAME and old.type != EXTERNAL_NAME and new.cluster_ip == old.cluster_ip:
        new = replace(new, cluster_ip=None, cluster_ips=None, ip_families=None, ip_family_policy=None)
    held = [port.node_port for port in old.ports or () if port.node_port]
    if new.type not in TYPES_WITH_NODE_PORTS and old.type in TYPES_WITH_NODE_PORTS and new.ports:
        ports = tuple(replace(p, node_port=None) if p.node_port in held else p for p in new.ports)
        new = replace(new, ports=ports)
    from_outside = new.type in TYPES_WITH_NODE_PORTS or bool(new.external_ips)
    if not from_outside and new.external_traffic_policy == old.external_traffic_policy:
        new = replace(new, external_traffic_policy=None)
    if new.type != "LoadBalancer" and old.type == "LoadBalancer":
        new = replace(new, allocate_load_balancer_node_ports=None, health_check_node_port=None)
    return new
