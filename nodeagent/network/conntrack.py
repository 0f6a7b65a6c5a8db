"""The kernel's connection tracking (ctnetlink): finds and removes entries of UDP flows whose endpoint is gone.

A UDP client that goes on sending keeps its entry alive, and with it the translation to an endpoint that no longer
exists, or the lack of one from before there was an endpoint. TCP needs nothing of this: the connection breaks.
Blocking; works in the network namespace of the calling thread.
"""

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from nodeagent.network.errors import NetlinkError
from nodeagent.network.netlink import Message, Netlink, attribute, attributes
from nodeagent.network.services.compile import Backend, Frontend

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE, _IP_DESTINATION = 1, 2
_PROTO_NUMBER, _PROTO_SOURCE_PORT, _PROTO_DESTINATION_PORT = 1, 2, 3
_HEADER = struct.pack("!BBH", socket.AF_INET, 0, 0)
_NESTED = 0x8000
_ENOENT = 2


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked UDP flow. `raw` is its original tuple, as the kernel wants it back to delete it."""

    destination: Backend
    """Where the client sends to: address and port."""
    answered_by: Backend
    """Who answers: the endpoint when it was translated, else the same as `destination`."""
    raw: bytes


def udp_flows(netlink: Netlink) -> list[Flow]:
    found = (_flow(message) for message in netlink.dump("list tracked connections", _GET, _HEADER))
    return [flow for flow in found if flow is not None]


def stale_flows(
    flows: Iterable[Flow],
    frontends: Iterable[Frontend],
    backends: Mapping[Frontend, frozenset[Backend]],
    node_addresses: frozenset[str],
) -> list[Flow]:
    """Flows to one of `frontends` that are answered by none of its backends."""
    watched = {(found.address, found.port): found for found in frontends if found.protocol == "udp"}
    stale = []
    for flow in flows:
        address, port = flow.destination.address, flow.destination.port
        frontend = watched.get((address, port))
        if frontend is None and address in node_addresses:
            frontend = watched.get(("", port))
        if frontend is not None and flow.answered_by not in backends.get(frontend, frozenset()):
            stale.append(flow)
    return stale


def delete_flow(netlink: Netlink, flow: Flow) -> None:
    try:
        netlink.request(
            "delete a tracked connection", _DELETE, 0, _HEADER, attribute(_TUPLE_ORIGINAL | _NESTED, flow.raw)
        )
    except NetlinkError as error:
        if error.errno != _ENOENT:
            raise


def open_conntrack() -> Netlink:
    return Netlink(_NETLINK_NETFILTER)


def _flow(message: Message) -> Flow | None:
    found = attributes(message.body[4:])
    original, reply = attributes(found[_TUPLE_ORIGINAL]), attributes(found[_TUPLE_REPLY])
    protocol = attributes(original[_TUPLE_PROTO])
    if protocol[_PROTO_NUMBER][0] != socket.IPPROTO_UDP:
        return None
    destination = _end(original, _IP_DESTINATION, _PROTO_DESTINATION_PORT)
    return Flow(destination, _end(reply, _IP_SOURCE, _PROTO_SOURCE_PORT), found[_TUPLE_ORIGINAL])


def _end(flow_tuple: Mapping[int, bytes], address: int, port: int) -> Backend:
    addresses, ports = attributes(flow_tuple[_TUPLE_IP]), attributes(flow_tuple[_TUPLE_PROTO])
    return Backend(str(IPv4Address(addresses[address])), struct.unpack("!H", ports[port])[0])
