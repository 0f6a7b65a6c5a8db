"""Which routes, neighbours and forwarding entries lead to the pods of the other nodes: decided here, done elsewhere.

Two ways: `vxlan` (one tunnel link; each peer is an onlink route to its range, a permanent neighbour and a forwarding
entry, so that nothing is flooded or learnt) and `host-gw` (a route by the peer's own address, where nodes share a
segment). Everything follows from the Node objects; a peer's link address follows from its node address, so that no
node has to publish one. Pure: `plan(wanted, current)` gives the operations that lead from one state to the other.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TypeVar

from nodeagent.network.rtnetlink import Neighbour, Route
from orch.api.node import Node

T = TypeVar("T")

VXLAN_LINK = "orch-vxlan"
VXLAN_ID = 77
VXLAN_PORT = 4789
VXLAN_OVERHEAD_BYTES = 50
"""Outer Ethernet, IP, UDP and VXLAN headers."""


class Mode(StrEnum):
    VXLAN = "vxlan"
    HOST_GATEWAY = "host-gw"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: its address and the range of its pods."""

    name: str
    address: str
    pod_cidr: IPv4Network


@dataclass(frozen=True, slots=True)
class OverlayState:
    """What the kernel holds of the overlay, or should."""

    routes: frozenset[Route] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    forwardings: frozenset[Neighbour] = frozenset()


@dataclass(frozen=True, slots=True)
class DeleteRoute:
    route: Route


@dataclass(frozen=True, slots=True)
class ReplaceRoute:
    route: Route


@dataclass(frozen=True, slots=True)
class DeleteNeighbour:
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class ReplaceNeighbour:
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class DeleteForwarding:
    entry: Neighbour


@dataclass(frozen=True, slots=True)
class ReplaceForwarding:
    entry: Neighbour


Operation = DeleteRoute | ReplaceRoute | DeleteNeighbour | ReplaceNeighbour | DeleteForwarding | ReplaceForwarding


def internal_address(node: Node) -> IPv4Address | None:
    """The node's first InternalIP that is IPv4."""
    for found in node.status.addresses or ():
        if found.type == "InternalIP":
            with suppress(AddressValueError):
                return IPv4Address(found.address)
    return None


def pod_range(node: Node) -> IPv4Network | None:
    """spec.podCIDR, once the control plane has assigned it."""
    try:
        return IPv4Network(node.spec.pod_cidr or "")
    except ValueError:
        return None


def peers(nodes: Iterable[Node], own_name: str) -> tuple[Peer, ...]:
    """The nodes that can be reached: with an IPv4 address and a range. Sorted by name."""
    found = []
    for node in nodes:
        address, network = internal_address(node), pod_range(node)
        if node.metadata.name != own_name and address is not None and network is not None:
            found.append(Peer(node.metadata.name, str(address), network))
    return tuple(sorted(found, key=lambda peer: peer.name))


def vxlan_mac(node_address: str) -> str:
    """The link address of a node's tunnel end: locally administered, from its own address."""
    return "0e:4f:" + IPv4Address(node_address).packed.hex(":")


def wanted(
    found: Sequence[Peer], mode: Mode, vxlan_index: int, uplink_index: int, cluster_cidr: IPv4Network
) -> OverlayState:
    """Pod addresses that nobody has are unreachable at once, instead of leaving by the default route."""
    nobody = Route(cluster_cidr)
    if mode is Mode.HOST_GATEWAY:
        direct = (Route(peer.pod_cidr, uplink_index, gateway=peer.address) for peer in found)
        return OverlayState(routes=frozenset((nobody, *direct)))
    return OverlayState(
        routes=frozenset((nobody, *(_tunnel_route(peer, vxlan_index) for peer in found))),
        neighbours=frozenset(
            Neighbour(vxlan_index, str(peer.pod_cidr.network_address), vxlan_mac(peer.address)) for peer in found
        ),
        forwardings=frozenset(Neighbour(vxlan_index, peer.address, vxlan_mac(peer.address)) for peer in found),
    )


def _tunnel_route(peer: Peer, vxlan_index: int) -> Route:
    return Route(peer.pod_cidr, vxlan_index, gateway=str(peer.pod_cidr.network_address), onlink=True)


def plan(target: OverlayState, current: OverlayState) -> tuple[Operation, ...]:
    """Deletes first: a neighbour or range may have moved to another peer. Nothing when both are the same."""
    kept_destinations = {route.destination for route in target.routes}
    # Replacing a route needs no delete, and leaves no moment without one.
    stale = [route for route in current.routes - target.routes if route.destination not in kept_destinations]
    return (
        *map(DeleteRoute, _sorted(stale)),
        *map(DeleteNeighbour, _sorted(current.neighbours - target.neighbours)),
        *map(DeleteForwarding, _sorted(current.forwardings - target.forwardings)),
        *map(ReplaceForwarding, _sorted(target.forwardings - current.forwardings)),
        *map(ReplaceNeighbour, _sorted(target.neighbours - current.neighbours)),
        *map(ReplaceRoute, _sorted(target.routes - current.routes)),
    )


def _sorted(found: Iterable[T]) -> list[T]:
    return sorted(found, key=str)
