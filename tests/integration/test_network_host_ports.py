"""Ports of the node that lead to pods, and what a pod may not send, by what the kernel really does."""

import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from nodeagent.network import node_network
from nodeagent.network.errors import NetworkFault
from nodeagent.network.node_links import NodeNetworkConfig
from nodeagent.network.node_network import NodeNetwork
from nodeagent.network.pod import host_link_name
from nodeagent.runtime.interface import PortMapping
from orch.api.endpointslice import EndpointSlice
from orch.api.meta import ObjectMeta
from orch.api.node import Node, NodeSpec
from orch.api.service import Service
from tests.integration.netlab import Lab, LoopInNetns, Netns, fetch, lab, serve_tcp, serve_udp
from tests.integration.test_network_cluster import eventually
from tests.integration.test_network_services import Pod, endpoints, service

NODE, SECOND = "192.168.77.1", "192.168.77.101"
CLUSTER, SERVICES, DNS = IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"), IPv4Address("10.96.0.10")
CONFIG = NodeNetworkConfig("node-1", IPv4Address(NODE), CLUSTER, SERVICES, DNS)
WEB = PortMapping("TCP", 8080, 80)
GATEWAY_MAC = bytes.fromhex("eeeeeeeeeeee")


class World:
    """A node with two addresses whose network runs as in the agent, and two pods."""

    def __init__(self, made: Lab, run_dir: Path) -> None:
        self.lab, self.outside, self.run_dir = made, made.lan, run_dir
        self.node = made.node(1)
        self.node.ip("addr", "add", f"{SECOND}/24", "dev", "eth0")
        self.loop = LoopInNetns(self.node)
        self.pods = {name: made.netns(name) for name in ("a", "b")}
        self.applied: list[int] = []
        self.start()

    def start(self) -> None:
        self.network = self.loop.call(self._start())
        self.end = self.loop.background(self.network.run())

    async def _start(self) -> NodeNetwork:
        network = NodeNetwork(CONFIG, self.run_dir, upstreams=[], on_applied=self.applied.append)
        await network.start()
        network.apply_snapshot([Node(metadata=ObjectMeta(name="node-1"), spec=NodeSpec(pod_cidr="10.244.1.0/24"))])
        return network

    def stop(self) -> None:
        self.end()
        self.network.close()

    def attach(self, name: str, *ports: PortMapping) -> str:
        return self.loop.call(self.network.attach(name, self.pods[name].path, ports))

    def detach(self, name: str) -> None:
        self.loop.call(self.network.detach(name))

    def apply(self, made: Service, found: EndpointSlice) -> None:
        async def give() -> None:
            self.network.apply(None, made)
            self.network.apply(None, found)
            self.network.reached(1)

        self.loop.call(give())
        eventually(lambda: self.applied == [1])

    def rules(self) -> str:
        return self.node.exec("nft", "list", "table", "ip", "orch")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with lab("hostport") as made:
        found = World(made, tmp_path)
        yield found
        found.stop()
        found.loop.stop()


def refuses(source: Netns, port: int, address: str = NODE) -> bool:
    try:
        fetch(source, address, port, timeout_s=0.5)
    except ConnectionRefusedError:
        return True
    return False


def test_a_host_port_leads_to_the_pod_from_everywhere_and_keeps_the_client(world: World) -> None:
    pod = world.attach("a", WEB)
    other = world.attach("b")
    with serve_tcp(world.pods["a"], pod, 80, "a"):
        assert fetch(world.outside, NODE, 8080) == "a 192.168.77.254"
        assert fetch(world.outside, SECOND, 8080).startswith("a ")
        assert fetch(world.node, NODE, 8080).startswith("a ")
        assert fetch(world.pods["b"], NODE, 8080) == f"a {other}"
        assert fetch(world.pods["a"], NODE, 8080) == f"a {NODE}", "to itself, through the node"
    assert refuses(world.outside, 80)


def test_a_host_address_limits_it_to_that_address(world: World) -> None:
    pod = world.attach("a", PortMapping("TCP", 8080, 80, SECOND))
    with serve_tcp(world.pods["a"], pod, 80, "a"):
        assert fetch(world.outside, SECOND, 8080).startswith("a ")
        assert refuses(world.outside, 8080)


def test_udp_and_tcp_of_one_number_are_two_ports(world: World) -> None:
    pod = world.attach("a", PortMapping("UDP", 8053, 53))
    with serve_udp(world.pods["a"], pod, 53, "a"):
        client = world.outside.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with client:
            client.settimeout(2)
            client.sendto(b"?", (NODE, 8053))
            assert client.recv(10) == b"a"
        assert refuses(world.outside, 8053)


def test_it_is_gone_with_the_pod_and_free_for_the_next(world: World) -> None:
    first, second = world.attach("a", WEB), world.attach("b", WEB)
    with serve_tcp(world.pods["a"], first, 80, "a"), serve_tcp(world.pods["b"], second, 80, "b"):
        assert fetch(world.outside, NODE, 8080).startswith("a "), "who had it first"
        world.detach("a")
        assert fetch(world.outside, NODE, 8080).startswith("b ")
        world.detach("b")
        world.detach("b")
    assert refuses(world.outside, 8080)
    assert first not in world.rules().split("set hairpins")[0]


def test_it_outlives_the_agent(world: World) -> None:
    pod = world.attach("a", WEB)
    with serve_tcp(world.pods["a"], pod, 80, "a"):
        world.stop()
        assert fetch(world.outside, NODE, 8080).startswith("a ")
        world.node.exec("nft", "flush", "ruleset")
        world.start()
        assert world.attach("a", WEB) == pod
        assert fetch(world.outside, NODE, 8080).startswith("a ")
        world.stop()
        world.start()
        world.detach("a")
    assert refuses(world.outside, 8080)


def test_a_host_port_that_was_there_first_keeps_its_number(world: World) -> None:
    pod = world.attach("a", PortMapping("TCP", 30_080, 80))
    other = world.attach("b")
    with serve_tcp(world.pods["a"], pod, 80, "a"), serve_tcp(world.pods["b"], other, 8080, "b"):
        world.apply(service(), endpoints([Pod(world.pods["b"], other, "b")]))
        assert fetch(world.pods["a"], "10.96.0.20", 80).startswith("b ")
        assert fetch(world.outside, NODE, 30_080).startswith("a ")


# What a pod may not send.


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_frame(source: str, destination: str, port: int, payload: bytes) -> bytes:
    """An Ethernet frame to the node."""
    udp = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(udp), 1, 0, 64, 17)
    ip = head + struct.pack("!H", checksum(head + b"\0\0" + addresses)) + addresses
    return GATEWAY_MAC + b"\x02\0\0\0\0\x01" + b"\x08\x00" + ip + udp


def send(pod: Netns, *frames: bytes, protocol: int = 0x0800) -> None:
    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", protocol))
            for frame in frames:
                raw.send(frame)

    pod.call(work)


def received(netns: Netns, address: str, port: int, pod: Netns, frames: Sequence[bytes]) -> list[bytes]:
    """What of the frames comes to a socket there."""
    server = netns.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with server:
        server.bind((address, port))
        server.settimeout(0.3)
        send(pod, *frames)
        found = []
        try:
            while True:
                found.append(server.recv(100))
        except TimeoutError:
            return found


@pytest.mark.parametrize("filtered", [True, False])
def test_a_pod_cannot_send_from_another_address(world: World, filtered: bool) -> None:
    """Also where the machine's own configuration turns reverse path filtering off for new links."""
    own, other = world.attach("a"), world.attach("b")
    if not filtered:
        world.node.exec("sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{host_link_name('a')}/rp_filter")
    forged = [other, "192.168.77.254", NODE, "8.8.8.8", "127.0.0.1"]
    for netns, address in ((world.node, NODE), (world.pods["b"], other)):
        frames = [udp_frame(source, address, 7000, source.encode()) for source in (*forged, own)]
        assert received(netns, address, 7000, world.pods["a"], frames) == [own.encode()]


def test_a_pod_does_not_reach_what_listens_on_the_nodes_loopback(world: World) -> None:
    own = world.attach("a")
    frame = udp_frame(own, "127.0.0.1", 7000, b"x")
    assert received(world.node, "127.0.0.1", 7000, world.pods["a"], [frame]) == []
    with serve_tcp(world.node, "127.0.0.1", 7001, "secret"), pytest.raises(OSError, match=r".*"):
        fetch(world.pods["a"], NODE, 7001, timeout_s=0.5)


def test_a_pod_teaches_the_node_no_neighbour_by_arp(world: World) -> None:
    """Neither for an address of another's, nor as many as fill the table."""
    world.attach("a")
    other = world.attach("b")
    before = world.node.ip("neigh")
    mac, senders = b"\x02\0\0\0\0\x01", [other, "192.168.77.254", *(f"10.9.0.{n}" for n in range(1, 50))]
    head = b"\xff" * 6 + mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac
    frames = [head + socket.inet_aton(s) + b"\0" * 6 + socket.inet_aton(NODE) for s in senders]
    send(world.pods["a"], *frames, protocol=0x0806)
    assert world.node.ip("neigh") == before
    with serve_tcp(world.pods["b"], other, 80, "b"):
        assert fetch(world.node, other, 80).startswith("b ")


def test_a_pod_does_not_speak_ipv6_to_the_node(world: World) -> None:
    """Not even with the node's own address on their link."""
    world.attach("a")
    link, pod = host_link_name("a"), world.pods["a"]
    world.node.ip("addr", "add", "fd00::1/64", "dev", link, "nodad")
    pod.ip("addr", "add", "fd00::2/64", "dev", "eth0", "nodad")
    pod.ip("neigh", "replace", "fd00::1", "lladdr", "ee:ee:ee:ee:ee:ee", "dev", "eth0")
    assert asks_over_ipv6(pod, world.node) == b""
    world.node.exec("nft", "delete", "table", "ip6", "orch")
    assert asks_over_ipv6(pod, world.node) == b"x", "the rules alone are in the way"


def asks_over_ipv6(pod: Netns, node: Netns) -> bytes:
    """What a socket of the node receives."""
    with node.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as server:
        server.bind(("::", 7002))
        server.settimeout(0.3)
        with pod.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as client:
            client.sendto(b"x", ("fd00::1", 7002))
        try:
            return server.recv(10)
        except TimeoutError:
            return b""


def test_no_address_is_given_back_while_a_port_may_lead_to_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    address = world.attach("a", WEB)
    world.end()
    with monkeypatch.context() as patch:
        patch.setattr(node_network, "RULES_WRITTEN_TIMEOUT_S", 0.1)
        for _ in range(2):
            with pytest.raises(NetworkFault, match="host ports"):
                world.detach("a")
    assert world.attach("b") != address
    world.end = world.loop.background(world.network.run())
    world.detach("a")
    assert "8080" not in world.rules()
