import pytest

from nodeagent.network.services.compile import Backend, Frontend, VirtualPort, compile_service
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.meta import ObjectMeta
from orch.api.service import ClientIPConfig, Service, ServicePort, ServiceSpec, ServiceStatus, SessionAffinityConfig
from orch.api.shared import LoadBalancerIngress, LoadBalancerStatus

CLUSTER_IP = "10.96.0.20"
CLUSTER = Frontend(CLUSTER_IP, "tcp", 80)
NODE_PORT = Frontend("", "tcp", 30080)
HERE, THERE = Backend("10.244.1.5", 8080), Backend("10.244.2.6", 8080)


NO_STATUS = ServiceStatus()


def service(labels: dict[str, str] | None = None, status: ServiceStatus = NO_STATUS, **spec: object) -> Service:
    made: dict[str, object] = {
        "cluster_ip": CLUSTER_IP,
        "cluster_ips": (CLUSTER_IP,),
        "ports": (ServicePort(name="http", port=80, node_port=30080),),
    }
    return Service(
        metadata=ObjectMeta(namespace="shop", name="web", labels=labels),
        spec=ServiceSpec(**(made | spec)),  # type: ignore[arg-type]
        status=status,
    )


def endpoint(address: str, node: str, **conditions: bool) -> Endpoint:
    return Endpoint(addresses=(address,), node_name=node, conditions=EndpointConditions(**conditions))


def slice_of(*endpoints: Endpoint, port: str = "http") -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(namespace="shop", name="web-1"),
        address_type="IPv4",
        ports=(EndpointPort(name=port, port=8080, protocol="TCP"),),
        endpoints=endpoints,
    )


BOTH = slice_of(endpoint("10.244.2.6", "node-2", ready=True), endpoint("10.244.1.5", "node-1", ready=True))


def compiled(made: Service, *slices: EndpointSlice) -> dict[Frontend, VirtualPort]:
    return {port.frontend: port for port in compile_service(made, slices, "node-1")}


def test_cluster_address_and_node_port_lead_to_all_ready_endpoints() -> None:
    found = compiled(service(), BOTH)
    assert found[CLUSTER] == VirtualPort(CLUSTER, (HERE, THERE))
    assert found[NODE_PORT] == VirtualPort(NODE_PORT, (HERE, THERE), in_service_range=False)


def test_endpoints_of_several_slices_add_up_and_doubles_count_once() -> None:
    second = slice_of(endpoint("10.244.1.5", "node-1", ready=True), endpoint("10.244.3.7", "node-3"))
    assert compiled(service(), BOTH, second)[CLUSTER].backends == (HERE, THERE, Backend("10.244.3.7", 8080))


def test_ports_are_matched_by_name() -> None:
    assert compiled(service(), slice_of(endpoint("10.244.1.5", "node-1"), port="other"))[CLUSTER].backends == ()


@pytest.mark.parametrize(
    ("conditions", "used"),
    [
        ({"ready": True}, True),
        ({}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, True),
        ({"ready": False, "serving": False, "terminating": True}, False),
    ],
)
def test_readiness(conditions: dict[str, bool], used: bool) -> None:
    found = compiled(service(), slice_of(endpoint("10.244.1.5", "node-1", **conditions)))
    assert found[CLUSTER].backends == ((HERE,) if used else ())


def test_what_terminates_is_left_out_while_others_are_ready() -> None:
    ending = endpoint("10.244.1.5", "node-1", ready=False, serving=True, terminating=True)
    found = compiled(service(), slice_of(ending, endpoint("10.244.2.6", "node-2", ready=True)))
    assert found[CLUSTER].backends == (THERE,)


def test_local_internal_policy_keeps_this_nodes_endpoints() -> None:
    found = compiled(service(internal_traffic_policy="Local"), BOTH)
    assert found[CLUSTER].backends == (HERE,)
    assert found[NODE_PORT].backends == (HERE, THERE)


def test_local_external_policy_tells_insiders_from_outsiders() -> None:
    found = compiled(service(external_traffic_policy="Local"), BOTH)
    assert found[CLUSTER].backends == (HERE, THERE)
    assert (found[NODE_PORT].backends, found[NODE_PORT].inside_backends) == ((HERE,), (HERE, THERE))
    elsewhere = compiled(
        service(external_traffic_policy="Local"), slice_of(endpoint("10.244.2.6", "node-2", ready=True))
    )
    assert elsewhere[NODE_PORT].drops_outsiders
    assert not compiled(service(external_traffic_policy="Local"))[NODE_PORT].drops_outsiders


def test_affinity_has_its_timeout_or_the_default() -> None:
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=60))
    assert compiled(service(session_affinity="ClientIP"))[CLUSTER].affinity_timeout_s == 10_800
    found = compiled(service(session_affinity="ClientIP", session_affinity_config=config))
    assert found[CLUSTER].affinity_timeout_s == 60


def test_external_addresses_are_frontends_too() -> None:
    ingress = (LoadBalancerIngress(ip="192.0.2.8"), LoadBalancerIngress(ip="192.0.2.9", ip_mode="Proxy"))
    status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress))
    found = compiled(service(status=status, external_ips=("192.0.2.7",)), BOTH)
    assert {frontend.address for frontend in found} == {CLUSTER_IP, "", "192.0.2.7", "192.0.2.8"}
    guarded = compiled(service(status=status, load_balancer_source_ranges=("198.51.100.0/24",)), BOTH)
    assert {frontend.address for frontend in guarded} == {CLUSTER_IP, ""}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(service(cluster_ip="None", cluster_ips=("None",)), id="headless"),
        pytest.param(service(type="ExternalName", cluster_ip="", cluster_ips=None), id="external name"),
        pytest.param(service(labels={"service.kubernetes.io/service-proxy-name": "other"}), id="another proxy's"),
        pytest.param(service(cluster_ip="", cluster_ips=None), id="no address yet"),
    ],
)
def test_what_is_not_proxied(made: Service) -> None:
    assert compiled(made, BOTH) == {}


def test_only_ipv4_is_served() -> None:
    found = compiled(service(cluster_ips=(CLUSTER_IP, "fd00::1")), BOTH)
    assert {frontend.address for frontend in found} == {CLUSTER_IP, ""}
