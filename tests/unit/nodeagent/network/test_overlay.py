from ipaddress import IPv4Network

from nodeagent.network.overlay import (
    DeleteForwarding,
    DeleteNeighbour,
    DeleteRoute,
    Mode,
    OverlayState,
    Peer,
    ReplaceForwarding,
    ReplaceNeighbour,
    ReplaceRoute,
    peers,
    plan,
    vxlan_mac,
    wanted,
)
from nodeagent.network.rtnetlink import Neighbour, Route
from orch.api.meta import ObjectMeta
from orch.api.node import Node, NodeAddress, NodeSpec, NodeStatus

CLUSTER = IPv4Network("10.244.0.0/16")
NOBODY = Route(CLUSTER)
TUNNEL, UPLINK = 7, 2
TWO = Peer("node-2", "192.168.77.2", IPv4Network("10.244.2.0/24"))
TWO_ROUTE = Route(TWO.pod_cidr, TUNNEL, gateway="10.244.2.0", onlink=True)
TWO_NEIGHBOUR = Neighbour(TUNNEL, "10.244.2.0", "0e:4f:c0:a8:4d:02")
TWO_FORWARDING = Neighbour(TUNNEL, "192.168.77.2", "0e:4f:c0:a8:4d:02")


def node(name: str, address: str, cidr: str | None) -> Node:
    return Node(
        metadata=ObjectMeta(name=name),
        spec=NodeSpec(pod_cidr=cidr),
        status=NodeStatus(
            addresses=(
                NodeAddress(type="Hostname", address=name),
                NodeAddress(type="InternalIP", address=address),
            )
        ),
    )


def test_peers_are_the_other_nodes_that_have_an_address_and_a_range() -> None:
    nodes = [
        node("node-1", "192.168.77.1", "10.244.1.0/24"),
        node("node-4", "192.168.77.4", None),
        node("node-3", "not-an-address", "10.244.3.0/24"),
        node("node-2", "192.168.77.2", "10.244.2.0/24"),
    ]
    assert peers(nodes, "node-1") == (TWO,)


def test_a_new_peer_gets_forwarding_then_neighbour_then_route() -> None:
    target = wanted([TWO], Mode.VXLAN, TUNNEL, UPLINK, CLUSTER)
    assert plan(target, OverlayState()) == (
        ReplaceForwarding(TWO_FORWARDING),
        ReplaceNeighbour(TWO_NEIGHBOUR),
        ReplaceRoute(NOBODY),
        ReplaceRoute(TWO_ROUTE),
    )


def test_nothing_is_done_when_all_is_there() -> None:
    target = wanted([TWO], Mode.VXLAN, TUNNEL, UPLINK, CLUSTER)
    assert plan(target, target) == ()


def test_a_peer_that_left_is_removed() -> None:
    current = wanted([TWO], Mode.VXLAN, TUNNEL, UPLINK, CLUSTER)
    target = wanted([], Mode.VXLAN, TUNNEL, UPLINK, CLUSTER)
    assert plan(target, current) == (
        DeleteRoute(TWO_ROUTE),
        DeleteNeighbour(TWO_NEIGHBOUR),
        DeleteForwarding(TWO_FORWARDING),
    )


def test_a_range_that_moved_to_another_node_changes_its_neighbour_and_keeps_its_route() -> None:
    moved = Peer("node-5", "192.168.77.5", TWO.pod_cidr)
    current = wanted([TWO], Mode.VXLAN, TUNNEL, UPLINK, CLUSTER)
    assert plan(wanted([moved], Mode.VXLAN, TUNNEL, UPLINK, CLUSTER), current) == (
        DeleteNeighbour(TWO_NEIGHBOUR),
        DeleteForwarding(TWO_FORWARDING),
        ReplaceForwarding(Neighbour(TUNNEL, "192.168.77.5", vxlan_mac("192.168.77.5"))),
        ReplaceNeighbour(Neighbour(TUNNEL, "10.244.2.0", vxlan_mac("192.168.77.5"))),
    )


def test_host_gateway_routes_by_the_peers_address() -> None:
    target = wanted([TWO], Mode.HOST_GATEWAY, 0, UPLINK, CLUSTER)
    assert plan(target, OverlayState(routes=frozenset({NOBODY, TWO_ROUTE}))) == (
        ReplaceRoute(Route(TWO.pod_cidr, UPLINK, gateway="192.168.77.2")),
    )
