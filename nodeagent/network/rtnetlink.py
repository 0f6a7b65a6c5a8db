"""Links, addresses, routes, neighbours and forwarding entries of one network namespace, by rtnetlink(7).

Verbs only: what there should be is decided elsewhere (pod.py, overlay.py). `replace_*` and `ensure_*` may be repeated;
`delete_*` of something that is gone is no error. IPv4; addresses are text at this edge.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import TracebackType
from typing import Self

from nodeagent.network.errors import NetlinkError
from nodeagent.network.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

ROUTE_PROTOCOL = 79
"""Marks the routes that the agent made (rtm_protocol), so that it never removes another's."""

SCOPE_GLOBAL, SCOPE_LINK, SCOPE_HOST = 0, 253, 254

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30

_IFF_UP, _IFF_NOARP = 0x1, 0x80
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_IFLA_OPERSTATE, _IF_OPER_UP = 16, b"\x06"
_IFLA_AF_SPEC, _INET_CONF, _DEVCONF_RP_FILTER = 26, 1, 8
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_VXLAN_ID, _VXLAN_LINK, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT = 1, 3, 4, 7, 15
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 7, 15
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RTNH_F_ONLINK = 4
_RT_TABLE_MAIN = 254
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_PERMANENT, _NTF_SELF = 0x80, 0x02
_GONE = (errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL)


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    name: str
    kind: str
    """Of rtnetlink: veth, vxlan, ...; empty for a device without one."""
    mac: str
    mtu: int
    up: bool
    """As configured."""
    operational: bool
    """It carries packets: on a link that is merely up the kernel drops them until its other end is, and some more."""


@dataclass(frozen=True, slots=True)
class Address:
    link_index: int
    interface: IPv4Interface


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table. `link_index` 0: unreachable. `gateway` and `source` may be empty."""

    destination: IPv4Network
    link_index: int = 0
    gateway: str = ""
    source: str = ""
    onlink: bool = False
    scope: int = SCOPE_GLOBAL


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour; in the forwarding table of a VXLAN link, `address` is the remote host."""

    link_index: int
    address: str
    mac: str


class RtNetlink:
    """The routing tables and links of the network namespace in which it was opened."""

    def __init__(self) -> None:
        self._netlink = Netlink(socket.NETLINK_ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._netlink.close()

    # Links

    def links(self) -> dict[str, Link]:
        messages = self._netlink.dump("list links", _RTM_GETLINK, _link_header())
        return {link.name: link for link in map(_link, messages)}

    def link(self, name: str) -> Link | None:
        with _gone_is_fine():
            messages = self._netlink.get(f"get link {name}", _RTM_GETLINK, _link_header(), text(_IFLA_IFNAME, name))
            return _link(messages)
        return None

    def add_veth(self, name: str, mac: str, peer_name: str, peer_mac: str, peer_netns: int, mtu: int) -> None:
        """The peer is made inside the namespace of file descriptor `peer_netns`. Raises NetlinkError (EEXIST)."""
        peer = _link_header() + text(_IFLA_IFNAME, peer_name) + attribute(_IFLA_ADDRESS, _mac(peer_mac))
        peer += u32(_IFLA_MTU, mtu) + u32(_IFLA_NET_NS_FD, peer_netns)
        self._add_link(name, mac, mtu, "veth", attribute(_VETH_PEER, peer))

    def add_vxlan(self, name: str, mac: str, mtu: int, *, vni: int, port: int, local: str, underlay_index: int) -> None:
        """Learning is off: who is where is told by `replace_forwarding`. Raises NetlinkError (EEXIST)."""
        data = (
            u32(_VXLAN_ID, vni)
            + u32(_VXLAN_LINK, underlay_index)
            + attribute(_VXLAN_LOCAL, _ip(local))
            + attribute(_VXLAN_LEARNING, b"\0")
            + attribute(_VXLAN_PORT, struct.pack("!H", port))
        )
        self._add_link(name, mac, mtu, "vxlan", data)

    def _add_link(self, name: str, mac: str, mtu: int, kind: str, data: bytes) -> None:
        info = nested(_IFLA_LINKINFO, text(_INFO_KIND, kind), nested(_INFO_DATA, data))
        body = (_link_header(), text(_IFLA_IFNAME, name), attribute(_IFLA_ADDRESS, _mac(mac)), u32(_IFLA_MTU, mtu))
        self._netlink.request(f"add {kind} {name}", _RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, *body, info)

    def delete_link(self, name: str) -> None:
        with _gone_is_fine():
            self._netlink.request(f"delete link {name}", _RTM_DELLINK, 0, _link_header(), text(_IFLA_IFNAME, name))

    def set_up(self, index: int) -> None:
        header = _link_header(index, flags=_IFF_UP, change=_IFF_UP)
        self._netlink.request(f"set link {index} up", _RTM_NEWLINK, 0, header)

    def set_without_arp(self, index: int) -> None:
        """Nothing is asked or learned by ARP: permanent neighbours are all there are."""
        header = _link_header(index, flags=_IFF_NOARP, change=_IFF_NOARP)
        self._netlink.request(f"turn ARP off on link {index}", _RTM_NEWLINK, 0, header)

    def set_strict_reverse_path(self, index: int) -> None:
        """rp_filter 1: what arrives by the link must come from an address that is routed to it."""
        setting = nested(socket.AF_INET, nested(_INET_CONF, u32(_DEVCONF_RP_FILTER, 1)))
        what = f"set strict reverse path on link {index}"
        self._netlink.request(what, _RTM_NEWLINK, 0, _link_header(index), nested(_IFLA_AF_SPEC, setting))

    def move(self, index: int, netns: int) -> None:
        """Into the namespace of file descriptor `netns`; the link arrives down and without addresses."""
        self._netlink.request(f"move link {index}", _RTM_NEWLINK, 0, _link_header(index), u32(_IFLA_NET_NS_FD, netns))

    # Addresses

    def addresses(self) -> list[Address]:
        messages = self._netlink.dump("list addresses", _RTM_GETADDR, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0))
        return [_address(message) for message in messages]

    def replace_address(self, index: int, interface: str, scope: int = SCOPE_GLOBAL) -> None:
        """`interface` is an address with its prefix length: 10.244.1.0/32."""
        parsed = IPv4Interface(interface)
        header = struct.pack("=BBBBI", socket.AF_INET, parsed.network.prefixlen, 0, scope, index)
        body = attribute(_IFA_LOCAL, parsed.ip.packed) + attribute(_IFA_ADDRESS, parsed.ip.packed)
        what = f"add address {interface} to link {index}"
        self._netlink.request(what, _RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, header, body)

    # Routes

    def routes(self) -> list[Route]:
        """The agent's own routes."""
        header = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        found = (_route(message) for message in self._netlink.dump("list routes", _RTM_GETROUTE, header))
        return [route for route in found if route is not None]

    def replace_route(self, route: Route) -> None:
        what = f"set route to {route.destination} by link {route.link_index}"
        self._netlink.request(what, _RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route_body(route))

    def delete_route(self, route: Route) -> None:
        with _gone_is_fine():
            self._netlink.request(f"delete route to {route.destination}", _RTM_DELROUTE, 0, _route_body(route))

    # Neighbours and forwarding entries

    def neighbours(self, link_index: int) -> list[Neighbour]:
        """The permanent neighbours of a link."""
        return self._neighbours(socket.AF_INET, link_index)

    def replace_neighbour(self, neighbour: Neighbour) -> None:
        body = _neighbour_body(socket.AF_INET, neighbour)
        self._netlink.request(_what("set neighbour", neighbour), _RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)

    def delete_neighbour(self, neighbour: Neighbour) -> None:
        with _gone_is_fine():
            body = _neighbour_body(socket.AF_INET, neighbour)
            self._netlink.request(_what("delete neighbour", neighbour), _RTM_DELNEIGH, 0, body)

    def forwardings(self, link_index: int) -> list[Neighbour]:
        """The forwarding entries of a VXLAN link that name a remote host."""
        return self._neighbours(socket.AF_BRIDGE, link_index)

    def replace_forwarding(self, entry: Neighbour) -> None:
        body = _neighbour_body(socket.AF_BRIDGE, entry)
        self._netlink.request(_what("set forwarding", entry), _RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)

    def delete_forwarding(self, entry: Neighbour) -> None:
        with _gone_is_fine():
            body = _neighbour_body(socket.AF_BRIDGE, entry)
            self._netlink.request(_what("delete forwarding", entry), _RTM_DELNEIGH, 0, body)

    def _neighbours(self, family: int, link_index: int) -> list[Neighbour]:
        header = struct.pack("=BBHiHBB", family, 0, 0, 0, 0, 0, 0)
        found = (
            _neighbour(message, family) for message in self._netlink.dump("list neighbours", _RTM_GETNEIGH, header)
        )
        return [entry for entry in found if entry is not None and entry.link_index == link_index]


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """Swallows the kernel's answer that what should be deleted does not exist."""
    try:
        yield
    except NetlinkError as error:
        if error.errno not in _GONE:
            raise


def _what(verb: str, entry: Neighbour) -> str:
    return f"{verb} {entry.address} {entry.mac} on link {entry.link_index}"


def _ip(address: str) -> bytes:
    return IPv4Address(address).packed


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, flags, change)


def _link(message: Message) -> Link:
    index, flags = struct.unpack_from("=iI", message.body, 4)
    found = attributes(message.body[16:])
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=_text(found[_IFLA_IFNAME]),
        kind=_text(info.get(_INFO_KIND, b"")),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=struct.unpack("=I", found[_IFLA_MTU])[0],
        up=bool(flags & _IFF_UP),
        operational=found.get(_IFLA_OPERSTATE) == _IF_OPER_UP,
    )


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _address(message: Message) -> Address:
    _, prefix_length, _, _, index = struct.unpack_from("=BBBBI", message.body)
    found = attributes(message.body[8:])
    address = IPv4Address(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS])
    return Address(index, IPv4Interface(f"{address}/{prefix_length}"))


def _route_body(route: Route) -> bytes:
    kind = _RTN_UNICAST if route.link_index else _RTN_UNREACHABLE
    length, flags = route.destination.prefixlen, _RTNH_F_ONLINK if route.onlink else 0
    header = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, length, 0, 0, _RT_TABLE_MAIN, ROUTE_PROTOCOL, route.scope, kind, flags
    )
    body = attribute(_RTA_DST, route.destination.network_address.packed)
    body += u32(_RTA_OIF, route.link_index) if route.link_index else b""
    body += attribute(_RTA_GATEWAY, _ip(route.gateway)) if route.gateway else b""
    body += attribute(_RTA_PREFSRC, _ip(route.source)) if route.source else b""
    return header + body


def _route(message: Message) -> Route | None:
    header = struct.unpack_from("=BBBBBBBBI", message.body)
    length, table, protocol, scope, flags = header[1], header[4], header[5], header[6], header[8]
    if protocol != ROUTE_PROTOCOL or table != _RT_TABLE_MAIN:
        return None
    found = attributes(message.body[12:])
    kind = header[7]
    return Route(
        destination=IPv4Network((found.get(_RTA_DST, b"\0\0\0\0"), length)),
        link_index=struct.unpack("=I", found[_RTA_OIF])[0] if kind == _RTN_UNICAST else 0,
        gateway=str(IPv4Address(found[_RTA_GATEWAY])) if _RTA_GATEWAY in found else "",
        source=str(IPv4Address(found[_RTA_PREFSRC])) if _RTA_PREFSRC in found else "",
        onlink=bool(flags & _RTNH_F_ONLINK),
        scope=scope,
    )


def _neighbour_body(family: int, entry: Neighbour) -> bytes:
    flags = _NTF_SELF if family == socket.AF_BRIDGE else 0
    header = struct.pack("=BBHiHBB", family, 0, 0, entry.link_index, _NUD_PERMANENT, flags, 0)
    return header + attribute(_NDA_DST, _ip(entry.address)) + attribute(_NDA_LLADDR, _mac(entry.mac))


def _neighbour(message: Message, family: int) -> Neighbour | None:
    answered, _, _, index, state, _, _ = struct.unpack_from("=BBHiHBB", message.body)
    found = attributes(message.body[12:])
    if answered != family or not state & _NUD_PERMANENT or _NDA_DST not in found or _NDA_LLADDR not in found:
        return None
    return Neighbour(index, str(IPv4Address(found[_NDA_DST])), found[_NDA_LLADDR].hex(":"))
