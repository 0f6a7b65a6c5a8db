"""The node's own part of the network: forwarding, the tunnel link, the addresses and routes that pods rely on.

Level-triggered: `reconcile` looks at what the kernel holds and changes only what differs, so it also repairs what a
link that went down took with it. Blocking; runs in the agent's network namespace and writes sysctls of that one only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from nodeagent.network.errors import NetworkFault
from nodeagent.network.overlay import (
    VXLAN_ID,
    VXLAN_LINK,
    VXLAN_OVERHEAD_BYTES,
    VXLAN_PORT,
    DeleteForwarding,
    DeleteNeighbour,
    DeleteRoute,
    Mode,
    Operation,
    OverlayState,
    Peer,
    ReplaceForwarding,
    ReplaceNeighbour,
    ReplaceRoute,
    plan,
    vxlan_mac,
    wanted,
)
from nodeagent.network.rtnetlink import SCOPE_HOST, SCOPE_LINK, Address, Link, Route, RtNetlink
from nodeagent.network.sysctl import write_sysctls

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # A pod that talks to itself through a Service comes back by the link it left by: no redirect for that.
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}


@dataclass(frozen=True, slots=True)
class NodeNetworkConfig:
    """What the network of a node is made from."""

    node_name: str
    node_address: IPv4Address
    """Held by a link of the node; other nodes reach it there."""
    cluster_cidr: IPv4Network
    service_cidr: IPv4Network
    dns_address: IPv4Address
    """Where this node answers its pods' DNS queries: inside `service_cidr`."""
    cluster_domain: str = "cluster.local"
    mode: Mode = Mode.VXLAN


def prepare(config: NodeNetworkConfig) -> int:
    """Once, before pods: forwarding, loopback, the DNS address. Bytes that a pod may send at once (its MTU)."""
    write_sysctls(SYSCTLS)
    with RtNetlink() as node:
        loopback = node.links()["lo"].index
        node.set_up(loopback)
        # Scope host: never chosen as the source of what the node itself sends.
        node.replace_address(loopback, f"{config.dns_address}/32", SCOPE_HOST)
        # A node without a default route must still find some route to a Service before the rules rewrite it.
        node.replace_route(Route(config.service_cidr, loopback, source=str(config.node_address), scope=SCOPE_LINK))
        uplink = find_uplink(node, config.node_address)
    return uplink.mtu - (VXLAN_OVERHEAD_BYTES if config.mode is Mode.VXLAN else 0)


def reconcile(config: NodeNetworkConfig, own_range: IPv4Network, peers: Sequence[Peer]) -> tuple[Operation, ...]:
    """Makes the way to every peer's pods what it should be. What it did. Raises NetworkFault."""
    with RtNetlink() as node:
        uplink = find_uplink(node, config.node_address)
        tunnel = _ensure_tunnel(node, config, uplink, own_range) if config.mode is Mode.VXLAN else 0
        target = wanted(peers, config.mode, tunnel, uplink.index, config.cluster_cidr)
        operations = plan(target, _current(node, tunnel))
        for operation in operations:
            _perform(node, operation)
    return operations


def find_uplink(node: RtNetlink, address: IPv4Address) -> Link:
    """The link that holds the node's address."""
    index = next((found.link_index for found in node.addresses() if found.interface.ip == address), None)
    link = next((link for link in node.links().values() if link.index == index), None)
    if link is None:
        raise NetworkFault(f"no link of this node holds its address {address}")
    return link


def _ensure_tunnel(node: RtNetlink, config: NodeNetworkConfig, uplink: Link, own_range: IPv4Network) -> int:
    mac, mtu = vxlan_mac(str(config.node_address)), uplink.mtu - VXLAN_OVERHEAD_BYTES
    found = node.link(VXLAN_LINK)
    if found is not None and (found.kind, found.mac, found.mtu) != ("vxlan", mac, mtu):
        node.delete_link(VXLAN_LINK)
        found = None
    if found is None:
        local = str(config.node_address)
        node.add_vxlan(VXLAN_LINK, mac, mtu, vni=VXLAN_ID, port=VXLAN_PORT, local=local, underlay_index=uplink.index)
        found = node.links()[VXLAN_LINK]
    # What the node itself sends through the tunnel comes from the first address of its range. Replacing what is there
    # already would be an event too, and the next reconcile's reason.
    own = Address(found.index, IPv4Interface(f"{own_range.network_address}/32"))
    if own not in node.addresses():
        node.replace_address(own.link_index, str(own.interface))
    if not found.up:
        node.set_up(found.index)
    return found.index


def _current(node: RtNetlink, tunnel: int) -> OverlayState:
    # Routes of scope link lead to this node's pods and Services; they are not the overlay's.
    return OverlayState(
        routes=frozenset(route for route in node.routes() if route.scope != SCOPE_LINK),
        neighbours=frozenset(node.neighbours(tunnel)) if tunnel else frozenset(),
        forwardings=frozenset(node.forwardings(tunnel)) if tunnel else frozenset(),
    )


def _perform(node: RtNetlink, operation: Operation) -> None:
    match operation:
        case DeleteRoute(route):
            node.delete_route(route)
        case ReplaceRoute(route):
            node.replace_route(route)
        case DeleteNeighbour(neighbour):
            node.delete_neighbour(neighbour)
        case ReplaceNeighbour(neighbour):
            node.replace_neighbour(neighbour)
        case DeleteForwarding(entry):
            node.delete_forwarding(entry)
        case ReplaceForwarding(entry):
            node.replace_forwarding(entry)
