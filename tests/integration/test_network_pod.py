"""Pods on one node: attach, reach each other, detach."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from nodeagent.network.errors import NetworkFault
from nodeagent.network.pod import RoutedPodNetwork
from nodeagent.network.sysctl import write_sysctls
from tests.integration.netlab import Lab, LoopInNetns, Netns, fetch, lab, serve_tcp

RANGE = IPv4Network("10.244.1.0/24")
MTU = 1450


@pytest.fixture
def made() -> Iterator[Lab]:
    with lab("pod") as found:
        yield found


@pytest.fixture
def node(made: Lab) -> Netns:
    found = made.node(1)
    found.call(lambda: write_sysctls({"net/ipv4/ip_forward": "1"}))
    return found


@pytest.fixture
def loop(node: Netns) -> Iterator[LoopInNetns]:
    found = LoopInNetns(node)
    yield found
    found.stop()


async def new_network(run_dir: Path) -> RoutedPodNetwork:
    network = RoutedPodNetwork(run_dir, "192.168.77.1")
    network.set_range(RANGE, MTU)
    return network


def test_two_pods_and_the_node_reach_each_other(made: Lab, node: Netns, loop: LoopInNetns, tmp_path: Path) -> None:
    network = loop.call(new_network(tmp_path))
    first, second = made.netns("a"), made.netns("b")
    address_a = loop.call(network.attach("uid-a", first.path))
    address_b = loop.call(network.attach("uid-b", second.path))
    with serve_tcp(first, address_a, 80, "a"), serve_tcp(node, "192.168.77.1", 90, "node"):
        assert fetch(second, address_a, 80) == f"a {address_b}"
        assert fetch(first, address_a, 80) == f"a {address_a}"
        assert fetch(node, address_a, 80) == "a 192.168.77.1"
        assert fetch(second, "192.168.77.1", 90) == f"node {address_b}"
    assert "mtu 1450" in first.ip("link", "show", "eth0")


def test_attach_again_after_a_crash_changes_nothing(made: Lab, node: Netns, loop: LoopInNetns, tmp_path: Path) -> None:
    pod = made.netns("a")
    address = loop.call(loop.call(new_network(tmp_path)).attach("uid-a", pod.path))
    before = node.ip("route"), node.ip("neigh"), pod.ip("route"), pod.ip("neigh")
    again = loop.call(new_network(tmp_path))
    assert loop.call(again.attach("uid-a", pod.path)) == address
    assert (node.ip("route"), node.ip("neigh"), pod.ip("route"), pod.ip("neigh")) == before


def test_attach_completes_a_half_made_pod(made: Lab, node: Netns, loop: LoopInNetns, tmp_path: Path) -> None:
    network = loop.call(new_network(tmp_path))
    pod = made.netns("a")
    address = loop.call(network.attach("uid-a", pod.path))
    node.ip("route", "del", f"{address}/32")
    pod.ip("addr", "flush", "dev", "eth0")
    loop.call(network.attach("uid-a", pod.path))
    with serve_tcp(pod, address, 80, "a"):
        assert fetch(node, address, 80) == "a 192.168.77.1"


def test_detach_leaves_nothing_and_may_be_repeated(made: Lab, node: Netns, loop: LoopInNetns, tmp_path: Path) -> None:
    network = loop.call(new_network(tmp_path))
    links, routes = node.ip("-br", "link"), node.ip("route")
    address = loop.call(network.attach("uid-a", made.netns("a").path))
    loop.call(network.detach("uid-a"))
    loop.call(network.detach("uid-a"))
    assert (node.ip("-br", "link"), node.ip("route")) == (links, routes)
    assert loop.call(network.attach("uid-b", made.netns("b").path)) != address


def test_a_pod_cannot_send_from_an_address_that_is_not_its_own(
    made: Lab, node: Netns, loop: LoopInNetns, tmp_path: Path
) -> None:
    network = loop.call(new_network(tmp_path))
    pod, other = made.netns("a"), made.netns("b")
    loop.call(network.attach("uid-a", pod.path))
    address_b = loop.call(network.attach("uid-b", other.path))
    pod.ip("addr", "add", "10.244.1.77/32", "dev", "eth0")
    with serve_tcp(other, address_b, 80, "b"), pytest.raises(TimeoutError):
        fetch(pod, address_b, 80, timeout_s=0.3, source="10.244.1.77")


def test_a_pod_whose_namespace_was_made_anew_is_attached_there(
    made: Lab, node: Netns, loop: LoopInNetns, tmp_path: Path
) -> None:
    network = loop.call(new_network(tmp_path))
    address = loop.call(network.attach("uid-a", made.netns("a").path))
    anew = made.netns("b")
    assert loop.call(network.attach("uid-a", anew.path)) == address
    with serve_tcp(anew, address, 80, "anew"):
        assert fetch(node, address, 80) == "anew 192.168.77.1"


def test_a_namespace_that_does_not_exist_is_reported(loop: LoopInNetns, tmp_path: Path) -> None:
    network = loop.call(new_network(tmp_path))
    with pytest.raises(NetworkFault, match="open the pod's network namespace /run/netns/orch-test-none"):
        loop.call(network.attach("uid-a", "/run/netns/orch-test-none"))
