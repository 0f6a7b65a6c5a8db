"""A pod's network: one veth pair, routed, no bridge.

In the pod: eth0 with a /32 address and a default route to 169.254.1.1, whose link address is a permanent neighbour, so
that nothing is ever asked by ARP. On the node: a /32 route to the pod and its permanent neighbour. Every step may be
repeated; `attach` called again after a crash completes what is missing and gives the same address.

The host link's name and the pod's link address follow from the pod's uid and address: nothing else is recorded.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import structlog

from nodeagent.network.addresses import PodAddresses
from nodeagent.network.errors import NetworkFault
from nodeagent.network.netns import enter_netns
from nodeagent.network.rtnetlink import SCOPE_LINK, Neighbour, Route, RtNetlink
from orch.kit.threads import in_thread

log = structlog.get_logger(__name__)

POD_INTERFACE = "eth0"
GATEWAY = "169.254.1.1"
GATEWAY_MAC = "ee:ee:ee:ee:ee:ee"
"""Of every host side: the links are point to point, so they may all have the same."""
POD_LINK_PREFIX = "pod"
"""What the names of the host sides begin with; the service rules tell pods' links from others by it."""
RANGE_KNOWN_TIMEOUT_S = 30.0
OPERATIONAL_LOOK_PERIOD_S = 0.001
OPERATIONAL_LOOKS_MAX = 2_000

_EVERYWHERE = IPv4Network("0.0.0.0/0")
_SCOPED_GATEWAY = IPv4Network(f"{GATEWAY}/32")


@dataclass(frozen=True, slots=True)
class PodLink:
    """Both ends of a pod's veth pair, worked out."""

    host_name: str
    address: IPv4Address
    mac: str
    mtu: int
    node_address: str

    @property
    def host_route(self) -> IPv4Network:
        return IPv4Network(self.address)


def host_link_name(pod_uid: str) -> str:
    """At most 15 characters, the kernel's limit."""
    return POD_LINK_PREFIX + hashlib.sha256(pod_uid.encode()).hexdigest()[:11]


def pod_mac(address: IPv4Address) -> str:
    return "0a:58:" + address.packed.hex(":")


class RoutedPodNetwork:
    """Pods' links and addresses. Usable once the node's range is known (`set_range`)."""

    def __init__(self, run_dir: Path, node_address: str) -> None:
        self._folder = run_dir / "pod-addresses"
        self._node_address = node_address
        self._mtu = 0
        self._addresses: PodAddresses | None = None
        self._ready = asyncio.Event()

    def set_range(self, pod_cidr: IPv4Network, mtu: int) -> None:
        """Where addresses come from, in bytes what a pod may send at once. A range, once given out, stays."""
        self._mtu = mtu
        self._addresses = PodAddresses(self._folder, pod_cidr)
        self._ready.set()

    async def attach(self, pod_uid: str, netns_path: str) -> str:
        """Raises NetworkFault: no range yet, none left, or the kernel's refusal."""
        addresses = await self._known_addresses()
        address = addresses.allocate(pod_uid)
        link = PodLink(host_link_name(pod_uid), address, pod_mac(address), self._mtu, self._node_address)
        await in_thread(lambda: _attach(link, netns_path))
        log.info("pod_network_attached", pod_uid=pod_uid, address=str(address), link=link.host_name)
        return str(address)

    async def detach(self, pod_uid: str) -> None:
        addresses = await self._known_addresses()
        await in_thread(lambda: _delete_link(host_link_name(pod_uid)))
        addresses.release(pod_uid)

    async def _known_addresses(self) -> PodAddresses:
        try:
            async with asyncio.timeout(RANGE_KNOWN_TIMEOUT_S):
                await self._ready.wait()
        except TimeoutError:
            raise NetworkFault(f"the node has no pod address range after {RANGE_KNOWN_TIMEOUT_S} s") from None
        assert self._addresses is not None
        return self._addresses


def _attach(link: PodLink, netns_path: str) -> None:
    """Runs in a throw-away thread: it ends in the pod's namespace."""
    with RtNetlink() as node, _open_netns(netns_path) as netns:
        enter_netns(netns, netns_path)
        with RtNetlink() as pod:
            if POD_INTERFACE not in pod.links():
                _make_pair(node, link, netns)
            _configure_host_side(node, link)
            _configure_pod_side(pod, link)
            # A veth end is activated later than its peer comes up, and drops packets until then: a pod whose first
            # packet is lost waits a second for TCP to repeat it.
            _await_operational(node, link.host_name)
            _await_operational(pod, POD_INTERFACE)


@contextmanager
def _open_netns(path: str) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetworkFault(f"open the pod's network namespace {path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_pair(node: RtNetlink, link: PodLink, netns: int) -> None:
    # A host side without its peer here belongs to a namespace that the pod had before; the kernel removes
    # namespaces late.
    node.delete_link(link.host_name)
    node.add_veth(link.host_name, GATEWAY_MAC, POD_INTERFACE, link.mac, netns, link.mtu)


def _configure_host_side(node: RtNetlink, link: PodLink) -> None:
    host = node.link(link.host_name)
    if host is None:
        raise NetworkFault(f"the pod's namespace has {POD_INTERFACE}, but the node has no link {link.host_name}")
    # A pod cannot send from an address that is not its own, nor fill the node's neighbour table.
    node.set_strict_reverse_path(host.index)
    node.set_without_arp(host.index)
    node.set_up(host.index)
    node.replace_neighbour(Neighbour(host.index, str(link.address), link.mac))
    node.replace_route(Route(link.host_route, host.index, source=link.node_address, scope=SCOPE_LINK))


def _configure_pod_side(pod: RtNetlink, link: PodLink) -> None:
    found = pod.links()
    index = found[POD_INTERFACE].index
    pod.set_up(found["lo"].index)
    pod.replace_address(index, f"{link.address}/32")
    pod.set_up(index)
    pod.replace_route(Route(_SCOPED_GATEWAY, index, scope=SCOPE_LINK))
    pod.replace_neighbour(Neighbour(index, GATEWAY, GATEWAY_MAC))
    pod.replace_route(Route(_EVERYWHERE, index, gateway=GATEWAY))


def _await_operational(namespace: RtNetlink, name: str) -> None:
    for _ in range(OPERATIONAL_LOOKS_MAX):
        found = namespace.link(name)
        if found is not None and found.operational:
            return
        time.sleep(OPERATIONAL_LOOK_PERIOD_S)
    raise NetworkFault(f"link {name} is up, but carries nothing")


def _delete_link(name: str) -> None:
    with RtNetlink() as node:
        node.delete_link(name)
