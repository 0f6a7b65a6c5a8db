"""Services on one node and from outside of it, by the rules that the kernel really runs."""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from nodeagent.network.node_links import NodeNetworkConfig, prepare, reconcile
from nodeagent.network.pod import RoutedPodNetwork
from nodeagent.network.services.proxy import ServiceProxy
from nodeagent.network.services.ruleset import RulesetConfig
from nodeagent.network.services.table import ServiceTable
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.meta import ObjectMeta
from orch.api.service import ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig
from tests.integration.netlab import Lab, LoopInNetns, Netns, fetch, lab, serve_tcp, serve_udp

NODE = "192.168.77.1"
CLUSTER_IP = "10.96.0.20"
NODE_PORT = 30_080
RANGE = IPv4Network("10.244.1.0/24")
CLUSTER, SERVICES, DNS = IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"), IPv4Address("10.96.0.10")
CONFIG = NodeNetworkConfig("node-1", IPv4Address(NODE), CLUSTER, SERVICES, DNS)
PODS = 3


@dataclass(frozen=True)
class Pod:
    netns: Netns
    address: str
    name: str


class World:
    """One node with three pods that serve TCP 8080 and UDP 8053, and the machine beside it."""

    def __init__(self, made: Lab, run_dir: Path) -> None:
        self.outside = made.lan
        self.node = made.node(1)
        self.loop = LoopInNetns(self.node)
        self.node.call(lambda: (prepare(CONFIG), reconcile(CONFIG, RANGE, ())))
        self.pods = [self._pod(made, f"p{n}", run_dir) for n in range(PODS)]
        self.servers = [serve_tcp(pod.netns, pod.address, 8080, pod.name) for pod in self.pods]
        self.table = ServiceTable("node-1", str(DNS))
        self.proxy = self.loop.call(self._proxy())
        self.service: Service | None = None
        self.slice: EndpointSlice | None = None

    def _pod(self, made: Lab, name: str, run_dir: Path) -> Pod:
        async def attach(path: str) -> str:
            network = RoutedPodNetwork(run_dir, NODE)
            network.set_range(RANGE, 1450)
            return await network.attach(name, path)

        netns = made.netns(name)
        return Pod(netns, self.loop.call(attach(netns.path)), name)

    async def _proxy(self) -> ServiceProxy:
        return ServiceProxy(self.table, RulesetConfig(IPv4Address(NODE), CLUSTER, SERVICES, DNS, RANGE, ipv6=True))

    def apply(self, service: Service | None, found: EndpointSlice | None) -> None:
        self.table.apply_service(self.service, service)
        self.table.apply_slice(self.slice, found)
        self.service, self.slice = service, found
        self.loop.call(self.proxy.sync())

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.loop.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with lab("svc") as made:
        found = World(made, tmp_path)
        yield found
        found.close()


def service(**spec: object) -> Service:
    port = ServicePort(port=80, node_port=NODE_PORT, protocol=str(spec.pop("protocol", "TCP")))
    made = ServiceSpec(cluster_ip=CLUSTER_IP, cluster_ips=(CLUSTER_IP,), type="NodePort", ports=(port,), **spec)  # type: ignore[arg-type]
    return Service(metadata=ObjectMeta(namespace="default", name="web"), spec=made)


def endpoints(pods: Sequence[Pod], port: int = 8080, protocol: str = "TCP", node: str = "node-1") -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(namespace="default", name="web-1", labels={"kubernetes.io/service-name": "web"}),
        address_type="IPv4",
        ports=(EndpointPort(port=port, protocol=protocol),),
        endpoints=tuple(
            Endpoint(addresses=(pod.address,), conditions=EndpointConditions(ready=True), node_name=node)
            for pod in pods
        ),
    )


def answers(source: Netns, address: str, port: int, times: int = 30) -> Counter[str]:
    return Counter(fetch(source, address, port).split()[0] for _ in range(times))


def test_a_cluster_address_balances_over_all_endpoints(world: World) -> None:
    world.apply(service(), endpoints(world.pods))
    for client in (world.pods[0].netns, world.node):
        assert set(answers(client, CLUSTER_IP, 80)) == {"p0", "p1", "p2"}


def test_the_client_keeps_its_address_but_for_itself(world: World) -> None:
    world.apply(service(), endpoints(world.pods))
    seen = {fetch(world.pods[0].netns, CLUSTER_IP, 80) for _ in range(30)}
    own = world.pods[0].address
    assert seen == {f"p0 {NODE}", f"p1 {own}", f"p2 {own}"}


def test_a_node_port_answers_outside_on_the_node_and_in_pods(world: World) -> None:
    world.apply(service(), endpoints(world.pods))
    for client in (world.outside, world.node, world.pods[1].netns):
        assert set(answers(client, NODE, NODE_PORT)) == {"p0", "p1", "p2"}


def test_changed_endpoints_are_followed(world: World) -> None:
    world.apply(service(), endpoints(world.pods))
    world.apply(service(), endpoints(world.pods[1:]))
    assert set(answers(world.outside, NODE, NODE_PORT)) == {"p1", "p2"}
    world.apply(service(), endpoints(world.pods[:1]))
    assert set(answers(world.node, CLUSTER_IP, 80, 5)) == {"p0"}
    world.apply(service(), endpoints(world.pods))
    assert set(answers(world.node, CLUSTER_IP, 80)) == {"p0", "p1", "p2"}


@pytest.mark.parametrize("client", ["pod", "node"])
def test_a_service_without_endpoints_refuses_at_once(world: World, client: str) -> None:
    world.apply(service(), endpoints([]))
    source = world.node if client == "node" else world.pods[0].netns
    for _ in range(10):
        with pytest.raises(ConnectionRefusedError):
            fetch(source, CLUSTER_IP, 80, timeout_s=0.5)
    with pytest.raises(ConnectionRefusedError):
        fetch(source, NODE, NODE_PORT, timeout_s=0.5)


def test_a_udp_service_without_endpoints_is_unreachable(world: World) -> None:
    world.apply(service(protocol="UDP"), endpoints([], 8053, "UDP"))
    client = world.pods[0].netns.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.settimeout(0.5)
    client.connect((CLUSTER_IP, 80))
    client.send(b"?")
    with client, pytest.raises(ConnectionRefusedError):
        client.recv(10)


def test_a_deleted_service_refuses(world: World) -> None:
    world.apply(service(), endpoints(world.pods))
    world.apply(None, None)
    with pytest.raises(ConnectionRefusedError):
        fetch(world.pods[0].netns, CLUSTER_IP, 80, timeout_s=0.5)
    with pytest.raises(ConnectionRefusedError):
        fetch(world.outside, NODE, NODE_PORT, timeout_s=0.5)


AFFINITY = {
    "session_affinity": "ClientIP",
    "session_affinity_config": SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=100)),
}


def test_affinity_keeps_a_client_with_its_endpoint_until_that_is_gone(world: World) -> None:
    world.apply(service(**AFFINITY), endpoints(world.pods))
    for source, address, port in ((world.pods[0].netns, CLUSTER_IP, 80), (world.outside, NODE, NODE_PORT)):
        ((name, count),) = answers(source, address, port, 8).items()
        assert count == 8
    left = [pod for pod in world.pods if pod.name != name]
    world.apply(service(**AFFINITY), endpoints(left))
    ((other, count),) = answers(world.outside, NODE, NODE_PORT, 8).items()
    assert other != name
    assert count == 8


def test_affinity_survives_a_restart_of_the_agent(world: World) -> None:
    world.apply(service(**AFFINITY), endpoints(world.pods))
    ((name, _),) = answers(world.outside, NODE, NODE_PORT, 3).items()
    world.proxy = world.loop.call(world._proxy())
    world.loop.call(world.proxy.sync())
    assert answers(world.outside, NODE, NODE_PORT, 8) == {name: 8}


def test_local_policy_shows_outsiders_only_this_nodes_endpoints(world: World) -> None:
    mine, others = endpoints(world.pods[:1]), endpoints(world.pods[1:], node="node-2")
    both = EndpointSlice(
        metadata=mine.metadata, address_type="IPv4", ports=mine.ports, endpoints=mine.endpoints + others.endpoints
    )
    world.apply(service(external_traffic_policy="Local"), both)
    assert {fetch(world.outside, NODE, NODE_PORT) for _ in range(12)} == {"p0 192.168.77.254"}
    assert set(answers(world.node, NODE, NODE_PORT)) == {"p0", "p1", "p2"}
    world.apply(service(external_traffic_policy="Local"), others)
    with pytest.raises(TimeoutError):
        fetch(world.outside, NODE, NODE_PORT, timeout_s=0.3)
    world.apply(service(internal_traffic_policy="Local"), both)
    assert set(answers(world.pods[2].netns, CLUSTER_IP, 80)) == {"p0"}


def test_rules_that_somebody_flushed_come_back(world: World) -> None:
    world.apply(service(), endpoints(world.pods))
    world.node.exec("nft", "flush", "ruleset")
    with pytest.raises(OSError, match=r".*"):
        fetch(world.pods[0].netns, CLUSTER_IP, 80, timeout_s=0.3)
    world.loop.call(world.proxy.check())
    assert set(answers(world.pods[0].netns, CLUSTER_IP, 80)) == {"p0", "p1", "p2"}


def ask_udp(client: socket.socket, address: str, port: int) -> str:
    client.sendto(b"?", (address, port))
    return client.recv(100).decode()


def test_a_udp_flow_leaves_an_endpoint_that_is_gone(world: World) -> None:
    servers = [serve_udp(pod.netns, pod.address, 8053, pod.name) for pod in world.pods]
    client = world.pods[0].netns.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.settimeout(1)
    udp = {"protocol": "UDP"}
    try:
        world.apply(service(**udp), endpoints(world.pods[1:2], 8053, "UDP"))
        assert ask_udp(client, CLUSTER_IP, 80) == "p1"
        world.apply(service(**udp), endpoints(world.pods[1:], 8053, "UDP"))
        assert ask_udp(client, CLUSTER_IP, 80) == "p1"
        world.apply(service(**udp), endpoints(world.pods[2:], 8053, "UDP"))
        assert ask_udp(client, CLUSTER_IP, 80) == "p2"
    finally:
        for server in (*servers, client):
            server.close()


def test_a_udp_client_that_was_there_first_finds_the_first_endpoint(world: World) -> None:
    pod = world.pods[1]
    server = serve_udp(pod.netns, pod.address, 8053, pod.name)
    client = world.outside.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.settimeout(1)
    try:
        world.apply(service(protocol="UDP"), endpoints([], 8053, "UDP"))
        client.sendto(b"?", (NODE, NODE_PORT))
        world.apply(service(protocol="UDP"), endpoints(world.pods[1:2], 8053, "UDP"))
        assert ask_udp(client, NODE, NODE_PORT) == "p1"
    finally:
        server.close()
        client.close()
