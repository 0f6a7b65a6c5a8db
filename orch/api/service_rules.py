"""Validation of services (core validation, ValidateService). Whether an address or port is free is not known here."""

from collections.abc import Sequence

from orch.api.causes import Causes
from orch.api.formats import (
    cidr_problem,
    dns_1035_label_problem,
    dns_label_problem,
    dns_subdomain_problem,
    ip_problem,
    label_key_problem,
    port_problem,
)
from orch.api.metadata import label_rules, metadata_rules, metadata_update_rules
from orch.api.pod.probe_rules import port_or_name_rules
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.errors import Cause

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
TRAFFIC_POLICIES = ("Cluster", "Local")
AFFINITY_TIMEOUT_MAX_S = 86400
HEADLESS = "None"


def validate_service(service: Service) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, service.metadata, name_problem=dns_1035_label_problem)
    spec = service.spec
    causes.one_of("spec.type", spec.type, TYPES)
    label_rules(causes, "spec.selector", spec.selector)
    _port_list_rules(causes, spec)
    _type_rules(causes, spec)
    _address_rules(causes, spec)
    _traffic_rules(causes, spec)
    return causes.found


def validate_service_update(new: Service, old: Service) -> Sequence[Cause]:
    """A service keeps its address as long as it has one: only a change from or to ExternalName may change it."""
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if "ExternalName" not in (new.spec.type, old.spec.type):
        if old.spec.cluster_ip and new.spec.cluster_ip != old.spec.cluster_ip:
            causes.invalid("spec.clusterIPs[0]", new.spec.cluster_ips, "may not change once set")
        old_families, new_families = old.spec.ip_families or (), new.spec.ip_families or ()
        if old_families and new_families[:1] != old_families[:1]:
            causes.invalid("spec.ipFamilies[0]", new_families, "may not change once set")
    return causes.found


def _port_list_rules(causes: Causes, spec: ServiceSpec) -> None:
    ports = spec.ports or ()
    if not ports and spec.cluster_ip != HEADLESS and spec.type != "ExternalName":
        causes.required("spec.ports")
    names: set[str] = set()
    pairs: set[tuple[int, str | None]] = set()
    node_ports: set[tuple[int, str | None]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        _port_rules(causes, path, port, spec)
        _port_name_rules(causes, path, port, names, needed=len(ports) > 1)
        if (port.port, port.protocol) in pairs:
            causes.duplicate(path, {"port": port.port, "protocol": port.protocol})
        pairs.add((port.port, port.protocol))
        if port.node_port:
            if (port.node_port, port.protocol) in node_ports:
                causes.duplicate(f"{path}.nodePort", port.node_port)
            node_ports.add((port.node_port, port.protocol))


def _port_name_rules(causes: Causes, path: str, port: ServicePort, names: set[str], *, needed: bool) -> None:
    if not port.name:
        if needed:
            causes.required(f"{path}.name")
        return
    causes.check(f"{path}.name", port.name, dns_label_problem(port.name))
    if port.name in names:
        causes.duplicate(f"{path}.name", port.name)
    names.add(port.name)


def _port_rules(causes: Causes, path: str, port: ServicePort, spec: ServiceSpec) -> None:
    if problem := port_problem(port.port):
        causes.invalid(f"{path}.port", port.port, problem)
    causes.one_of(f"{path}.protocol", port.protocol, PROTOCOLS)
    if port.target_port is not None:
        port_or_name_rules(causes, f"{path}.targetPort", port.target_port)
    if port.app_protocol:
        causes.check(f"{path}.appProtocol", port.app_protocol, label_key_problem(port.app_protocol))
    if port.node_port:
        if spec.type not in ("NodePort", "LoadBalancer"):
            causes.forbidden(f"{path}.nodePort", f"may not be used when `type` is '{spec.type}'")
        elif problem := port_problem(port.node_port):
            causes.invalid(f"{path}.nodePort", port.node_port, problem)


def _type_rules(causes: Causes, spec: ServiceSpec) -> None:
    if spec.type == "ExternalName":
        if spec.cluster_ip:
            causes.forbidden("spec.clusterIPs[0]", "may not be set for ExternalName services")
        if not spec.external_name:
            causes.required("spec.externalName")
        else:
            name = spec.external_name.removesuffix(".")
            causes.check("spec.externalName", spec.external_name, dns_subdomain_problem(name))
    if spec.cluster_ip == HEADLESS and spec.type in ("NodePort", "LoadBalancer"):
        causes.invalid("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {spec.type} services")
    if spec.type != "LoadBalancer":
        for name, value in (
            ("allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports),
            ("loadBalancerClass", spec.load_balancer_class),
        ):
            if value is not None:
                causes.forbidden(f"spec.{name}", "may only be used when `type` is 'LoadBalancer'")


def _address_rules(causes: Causes, spec: ServiceSpec) -> None:
    if spec.cluster_ip and spec.cluster_ip != HEADLESS:
        causes.check("spec.clusterIPs[0]", spec.cluster_ip, ip_problem(spec.cluster_ip))
    if spec.cluster_ips and spec.cluster_ips[0] != (spec.cluster_ip or ""):
        causes.invalid("spec.clusterIPs", spec.cluster_ips, "first value must match `clusterIP`")
    for index, address in enumerate(spec.external_ips or ()):
        causes.check(f"spec.externalIPs[{index}]", address, ip_problem(address))
    for index, source in enumerate(spec.load_balancer_source_ranges or ()):
        causes.check(f"spec.loadBalancerSourceRanges[{index}]", source, cidr_problem(source.strip()))
    for index, family in enumerate(spec.ip_families or ()):
        if family not in ("IPv4", "IPv6"):
            causes.not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
    causes.maybe_one_of(
        "spec.ipFamilyPolicy", spec.ip_family_policy, ("PreferDualStack", "RequireDualStack", "SingleStack")
    )


def _traffic_rules(causes: Causes, spec: ServiceSpec) -> None:
    causes.one_of("spec.sessionAffinity", spec.session_affinity, ("ClientIP", "None"))
    config = spec.session_affinity_config
    if config is not None and config.client_ip is not None:
        timeout_s = config.client_ip.timeout_seconds
        if timeout_s is None or not 1 <= timeout_s <= AFFINITY_TIMEOUT_MAX_S:
            causes.invalid(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                timeout_s,
                f"must be greater than 0 and less than {AFFINITY_TIMEOUT_MAX_S}",
            )
    causes.maybe_one_of("spec.externalTrafficPolicy", spec.external_traffic_policy, TRAFFIC_POLICIES)
    causes.maybe_one_of("spec.internalTrafficPolicy", spec.internal_traffic_policy, TRAFFIC_POLICIES)
    exposed = spec.type in ("NodePort", "LoadBalancer") or bool(spec.external_ips)
    if spec.external_traffic_policy and not exposed:
        causes.invalid(
            "spec.externalTrafficPolicy",
            spec.external_traffic_policy,
            "may only be set for externally-accessible services",
        )
