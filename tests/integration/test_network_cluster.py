"""Three nodes as namespaces on one bridge, each with the whole node network, as agents run it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from nodeagent.network.link_watch import LinkWatch
from nodeagent.network.node_links import NodeNetworkConfig
from nodeagent.network.node_network import LINK_SETTLE_S, NodeNetwork
from nodeagent.network.overlay import Mode
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.meta import Object, ObjectMeta
from orch.api.node import Node, NodeAddress, NodeSpec, NodeStatus
from orch.api.service import Service, ServicePort, ServiceSpec
from tests.integration.netlab import Lab, LoopInNetns, Netns, Server, fetch, lab, serve_tcp

CLUSTER, SERVICES, DNS = IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"), "10.96.0.10"
CLUSTER_IP, NODE_PORT = "10.96.0.20", 30_080
EVENTUALLY_S = 5.0


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + EVENTUALLY_S
    while not check():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


class Member:
    """A node with its network and one pod that serves its own name on port 80."""

    def __init__(self, made: Lab, number: int, mode: Mode, run_dir: Path) -> None:
        self.number, self.name, self.address = number, f"node-{number}", f"192.168.77.{number}"
        self.netns = made.node(number)
        self.pod = made.netns(f"pod{number}")
        self.config = NodeNetworkConfig(
            self.name, IPv4Address(self.address), CLUSTER, SERVICES, IPv4Address(DNS), mode=mode
        )
        self.run_dir = run_dir / self.name
        self.applied: list[int] = []
        self.loop = LoopInNetns(self.netns)
        self.network: NodeNetwork
        self.start()
        self.pod_address = ""
        self.server: Server | None = None

    def start(self) -> None:
        self.network = self.loop.call(self._start())
        self.end = self.loop.background(self.network.run())

    async def _start(self) -> NodeNetwork:
        network = NodeNetwork(self.config, self.run_dir, upstreams=[], on_applied=self.applied.append)
        await network.start()
        return network

    def stop(self) -> None:
        self.end()
        self.network.close()

    def snapshot(self, objects: list[Object], revision: int) -> None:
        async def give() -> None:
            self.network.apply_snapshot(objects)
            self.network.reached(revision)

        self.loop.call(give())
        eventually(lambda: revision in self.applied)

    def attach(self) -> None:
        self.pod_address = self.loop.call(self.network.pod_network.attach(f"uid-{self.name}", self.pod.path, ()))
        self.server = self.server or serve_tcp(self.pod, self.pod_address, 80, self.name)

    def node(self) -> Node:
        return Node(
            metadata=ObjectMeta(name=self.name),
            spec=NodeSpec(pod_cidr=f"10.244.{self.number}.0/24"),
            status=NodeStatus(addresses=(NodeAddress(type="InternalIP", address=self.address),)),
        )

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        self.stop()
        self.loop.stop()


class Cluster:
    def __init__(self, made: Lab, mode: Mode, run_dir: Path) -> None:
        self.outside = made.lan
        self.members = [Member(made, number, mode, run_dir) for number in (1, 2, 3)]
        self.revision = 0
        self.give([])
        for member in self.members:
            member.attach()

    def give(self, objects: list[Object]) -> None:
        self.objects = objects
        self.revision += 1
        for member in self.members:
            member.snapshot([*(found.node() for found in self.members), *objects], self.revision)

    def reach(self) -> bool:
        """Whether every pod and every node reaches every pod."""
        for source in self.members:
            for target in self.members:
                seen = fetch(source.pod, target.pod_address, 80, timeout_s=1)
                assert seen == f"{target.name} {source.pod_address}"
                assert fetch(source.netns, target.pod_address, 80, timeout_s=1).startswith(target.name)
        return True


@pytest.fixture(params=[Mode.VXLAN, Mode.HOST_GATEWAY])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    with lab("net") as made:
        found = Cluster(made, request.param, tmp_path)
        yield found
        for member in found.members:
            member.close()


def web(cluster: Cluster, **spec: object) -> list[Object]:
    meta = ObjectMeta(namespace="default", name="web", labels={"kubernetes.io/service-name": "web"})
    ports = (ServicePort(name="http", port=80, node_port=NODE_PORT),)
    return [
        Service(
            metadata=meta,
            spec=ServiceSpec(type="NodePort", cluster_ip=CLUSTER_IP, cluster_ips=(CLUSTER_IP,), ports=ports, **spec),  # type: ignore[arg-type]
        ),
        EndpointSlice(
            metadata=meta,
            address_type="IPv4",
            ports=(EndpointPort(name="http", port=80, protocol="TCP"),),
            endpoints=tuple(
                Endpoint(
                    addresses=(member.pod_address,),
                    conditions=EndpointConditions(ready=True),
                    node_name=member.name,
                )
                for member in cluster.members
            ),
        ),
    ]


def names(source: Netns, address: str, port: int) -> set[str]:
    return {fetch(source, address, port, timeout_s=1).split()[0] for _ in range(25)}


EVERYONE = {"node-1", "node-2", "node-3"}


def test_pods_reach_each_other_on_all_nodes_with_their_own_addresses(cluster: Cluster) -> None:
    assert cluster.reach()


def test_services_balance_over_all_nodes_from_everywhere(cluster: Cluster) -> None:
    cluster.give(web(cluster))
    first, second, _ = cluster.members
    assert names(first.pod, CLUSTER_IP, 80) == EVERYONE
    assert names(first.netns, CLUSTER_IP, 80) == EVERYONE
    assert names(cluster.outside, second.address, NODE_PORT) == EVERYONE
    assert names(first.pod, second.address, NODE_PORT) == EVERYONE
    assert names(first.netns, second.address, NODE_PORT) == EVERYONE


def test_pods_reach_what_is_outside_as_their_node(cluster: Cluster) -> None:
    with serve_tcp(cluster.outside, "192.168.77.254", 90, "outside"):
        for member in cluster.members:
            assert fetch(member.pod, "192.168.77.254", 90) == f"outside {member.address}"


def test_an_address_that_no_pod_has_is_unreachable_at_once(cluster: Cluster) -> None:
    for address in ("10.244.1.200", "10.244.99.1"):
        with pytest.raises(OSError, match="No route to host"):
            fetch(cluster.members[0].pod, address, 80, timeout_s=1)


def test_links_that_went_down_come_back_with_their_routes(cluster: Cluster) -> None:
    node = cluster.members[0].netns
    node.ip("link", "set", "eth0", "down")
    node.ip("link", "set", "eth0", "up")
    node.ip("route", "replace", "default", "via", "192.168.77.254")
    eventually(lambda: "10.244.2.0/24" in node.ip("route"))
    eventually(cluster.reach)


def test_a_network_that_is_as_it_should_be_is_left_alone(cluster: Cluster) -> None:
    """An agent hears of every change of its links: one of its own in each look would be the next look's reason."""
    assert cluster.reach()
    node = cluster.members[0]
    time.sleep(2 * LINK_SETTLE_S)
    heard: list[None] = []

    async def listen() -> None:
        with LinkWatch(lambda: heard.append(None)):
            node.network._on_link_event()  # as if the kernel had spoken
            await asyncio.sleep(5 * LINK_SETTLE_S)

    node.loop.call(listen())
    assert not heard


def test_an_agent_that_restarts_interrupts_nothing(cluster: Cluster) -> None:
    cluster.give(web(cluster))
    member = cluster.members[0]
    before = (member.netns.ip("route"), member.netns.ip("neigh", "show", "nud", "permanent"))
    member.stop()
    assert names(member.pod, CLUSTER_IP, 80) == EVERYONE
    member.start()
    assert names(member.pod, CLUSTER_IP, 80) == EVERYONE
    member.snapshot([*(found.node() for found in cluster.members), *cluster.objects], 100)
    address = member.pod_address
    member.attach()
    assert member.pod_address == address
    assert (member.netns.ip("route"), member.netns.ip("neigh", "show", "nud", "permanent")) == before
    assert names(member.pod, CLUSTER_IP, 80) == EVERYONE


def test_a_node_that_left_is_forgotten(cluster: Cluster) -> None:
    first = cluster.members[0]
    first.snapshot([member.node() for member in cluster.members[:2]], 50)
    routes = first.netns.ip("route")
    assert "10.244.2.0/24" in routes
    assert "10.244.3.0/24" not in routes


def test_pods_resolve_services_by_the_nodes_own_server(cluster: Cluster) -> None:
    cluster.give(web(cluster))

    def ask() -> str:
        query = dns.message.make_query("web.default.svc.cluster.local.", "A")
        return dns.query.udp(query, DNS, timeout=1).answer[0].to_text()

    for member in cluster.members:
        assert member.pod.call(ask).endswith(f"IN A {CLUSTER_IP}")


def test_an_attach_waits_for_the_nodes_range(tmp_path: Path) -> None:
    with lab("wait") as made:
        member = Member(made, 1, Mode.VXLAN, tmp_path)
        try:
            early = member.loop.start(member.network.pod_network.attach("uid", member.pod.path, ()))
            time.sleep(0.1)
            assert not early.done()
            member.snapshot([member.node()], 1)
            assert early.result(5) == "10.244.1.1"
        finally:
            member.close()
