"""Service (core/v1)."""

from typing import Annotated

from msgspec import field

from orch.api.base import ApiStruct, Int32, IntOrString, always, atomic_map, merge_list
from orch.api.change import change, each_or_none, fill, fill_zero
from orch.api.meta import Condition, Object, ObjectMeta
from orch.api.shared import LoadBalancerStatus


class ClientIPConfig(ApiStruct):
    timeout_seconds: Int32 | None = None


class ServicePort(ApiStruct):
    app_protocol: str | None = None
    name: str | None = None
    node_port: Int32 | None = None
    port: Int32 = always(0)
    protocol: str | None = None
    target_port: IntOrString | None = None


class SessionAffinityConfig(ApiStruct):
    client_ip: ClientIPConfig | None = field(default=None, name="clientIP")


class ServiceSpec(ApiStruct):
    allocate_load_balancer_node_ports: bool | None = None
    cluster_ip: str | None = field(default=None, name="clusterIP")
    cluster_ips: tuple[str, ...] | None = field(default=None, name="clusterIPs")
    external_ips: tuple[str, ...] | None = field(default=None, name="externalIPs")
    external_name: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: Int32 | None = None
    internal_traffic_policy: str | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = field(default=None, name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] | None = None
    ports: Annotated[
        tuple[ServicePort, ...] | None,
        merge_list("port", keys=("port", "protocol"), key_defaults=(("protocol", "TCP"),)),
    ] = None
    publish_not_ready_addresses: bool | None = None
    selector: Annotated[dict[str, str] | None, atomic_map()] = None
    session_affinity: str | None = None
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str | None = None
    type: str | None = None


class ServiceStatus(ApiStruct):
    conditions: Annotated[tuple[Condition, ...] | None, merge_list("type")] = None
    load_balancer: LoadBalancerStatus = always(LoadBalancerStatus())


class Service(Object):
    api_version: str = always("v1")
    kind: str = always("Service")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: ServiceSpec = always(ServiceSpec())
    status: ServiceStatus = always(ServiceStatus())


CLIENT_IP_AFFINITY_DEFAULT_S = 10800


def service_defaults(service: Service) -> Service:
    """Addresses, node ports and IP families are allocated by the registry, not defaulted."""
    spec = fill_zero(service.spec, session_affinity="None", type="ClusterIP")
    spec = change(
        spec,
        session_affinity_config=_affinity_config(spec),
        ports=each_or_none(spec.ports, _port_defaults),
    )
    if spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and spec.external_ips):
        spec = fill_zero(spec, external_traffic_policy="Cluster")
    if spec.type != "ExternalName":
        spec = fill(spec, internal_traffic_policy="Cluster")
    if spec.type == "LoadBalancer":
        spec = fill(spec, allocate_load_balancer_node_ports=True)
    return change(service, spec=spec)


def _affinity_config(spec: ServiceSpec) -> SessionAffinityConfig | None:
    if spec.session_affinity != "ClientIP":
        return None
    config = fill(spec.session_affinity_config or SessionAffinityConfig(), client_ip=ClientIPConfig())
    assert config.client_ip is not None
    return change(config, client_ip=fill(config.client_ip, timeout_seconds=CLIENT_IP_AFFINITY_DEFAULT_S))


def _port_defaults(port: ServicePort) -> ServicePort:
    return fill_zero(port, protocol="TCP", target_port=port.port)
