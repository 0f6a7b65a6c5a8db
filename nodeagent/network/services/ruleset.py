"""The service rules as nft text: fixed chains and maps, and the elements that change. Pure.

One table, `ip orch`. A new connection is looked up by address, protocol and port in `services` (or, for the node's own
addresses, by protocol and port in `node_ports`), which sends it to a chain `pick_<protocol>_<n>`; that draws an index
below n and finds the endpoint under the same address and port and the index. So chains exist per number of endpoints,
not per Service, and a Service that changes costs only its own elements. The packet mark is not used and not changed.

Clients inside the cluster are looked up first in the `_inside` maps, which hold only what differs for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import groupby

from nodeagent.network.overlay import VXLAN_LINK
from nodeagent.network.pod import POD_LINK_PREFIX
from nodeagent.network.services.compile import Backend
from nodeagent.network.services.table import Change, Drop, Elements, Pick, Remember, Value

TABLE, TABLE_V6 = "ip orch", "ip6 orch"
AFFINITY_ENTRIES_MAX = 65_536

_PROTOCOLS = ("tcp", "udp", "sctp")
_FRONTEND = "ip daddr . meta l4proto . th dport"
_NODE_PORT = "meta l4proto . th dport"
_ORIGINAL = "ct original ip daddr . meta l4proto . ct original proto-dst"
_ORIGINAL_NODE_PORT = "meta l4proto . ct original proto-dst"
"""nft 1.0.6 knows the width of a tracked port only after a match on the one protocol."""
_VERDICTS = "type ipv4_addr . inet_proto . inet_service : verdict"
_NODE_VERDICTS = "type inet_proto . inet_service : verdict"

_INDEX = "numgen random mod 65536"


def _endpoint_maps() -> Iterator[tuple[str, str]]:
    """One per protocol: only so can nft 1.0.6 read back a key that has both a port and a drawn index."""
    for name in _PROTOCOLS:
        yield f"endpoints_{name}", f"typeof ip daddr . {name} dport . {_INDEX} : ip daddr . {name} dport"
        yield f"node_port_endpoints_{name}", f"typeof {name} dport . {_INDEX} : ip daddr . {name} dport"


_MAPS = {
    **dict(_endpoint_maps()),
    "services": _VERDICTS,
    "services_inside": _VERDICTS,
    "node_ports": _NODE_VERDICTS,
    "node_ports_inside": _NODE_VERDICTS,
    "affinity_timeouts": _VERDICTS,
    "node_port_affinity_timeouts": _NODE_VERDICTS,
}
_AFFINITY = (
    "type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; "
    f"size {AFFINITY_ENTRIES_MAX}; flags dynamic, timeout"
)
_SETS = {
    "refused": "type ipv4_addr . inet_proto . inet_service",
    "hairpins": "type ipv4_addr . ipv4_addr",
}


@dataclass(frozen=True, slots=True)
class RulesetConfig:
    node_address: IPv4Address
    cluster_cidr: IPv4Network
    service_cidr: IPv4Network
    dns_address: IPv4Address
    pod_cidr: IPv4Network
    ipv6: bool
    """Whether the kernel speaks it."""


def full_load(config: RulesetConfig, elements: Elements, *, anew: bool) -> str:
    """Everything, as one transaction. Session affinity survives unless `anew`, which removes what was there before."""
    lines = [f"table {TABLE}", f"delete table {TABLE}"] if anew else [f"table {TABLE}", f"flush table {TABLE}"]
    lines += _declarations()
    if not anew:
        lines += [f"flush map {TABLE} {name}" for name in _MAPS] + [f"flush set {TABLE} {name}" for name in _SETS]
    lines += [*_base_chains(config), *(_ipv6_chains() if config.ipv6 else ())]
    pairs = (f"{address} . {address}" for address in config.pod_cidr.hosts())
    lines.append(f"add element {TABLE} hairpins {{ {', '.join(pairs)} }}")
    return "\n".join([*lines, *_chains(elements.values()), *_element_commands("add", elements)]) + "\n"


def incremental(change: Change, known_chains: set[str]) -> str:
    """The change as one transaction; `known_chains` exist already."""
    chains = _chains(change.added.values(), known_chains)
    deletes, adds = _element_commands("delete", change.deleted), _element_commands("add", change.added)
    return "".join(f"{line}\n" for line in (*chains, *deletes, *adds))


def chain_names(values: Iterable[Value]) -> set[str]:
    """The on-demand chains that elements lead to."""
    return {_chain_name(value) for value in values if isinstance(value, Pick | Remember)}


def _declarations() -> Iterator[str]:
    yield f"table {TABLE} {{"
    yield from (f"map {name} {{ {body}; }}" for name, body in _MAPS.items())
    yield f"map affinity {{ {_AFFINITY}; }}"
    yield from (f"set {name} {{ {body}; }}" for name, body in _SETS.items())
    yield "}"


def _base_chains(config: RulesetConfig) -> tuple[str, ...]:
    dns, services = config.dns_address, config.service_cidr
    cluster, pods = config.cluster_cidr, config.pod_cidr
    return (
        f"table {TABLE} {{",
        # A pod cannot send from an address that is not its own, also where a rule of the machine's (udev, sysctl.d)
        # turns rp_filter off on links as they come.
        f'chain pods {{ type filter hook prerouting priority -300; iifname "{POD_LINK_PREFIX}*" '
        "fib saddr . iif oif missing drop; }",
        "chain prerouting { type nat hook prerouting priority -100; jump translate; }",
        "chain output { type nat hook output priority -100; jump translate; }",
        "chain translate {",
        f"meta l4proto != {{ {', '.join(_PROTOCOLS)} }} return",
        f"ip daddr {dns} return",
        f"ip saddr {cluster} jump translate_inside",
        "fib saddr type local jump translate_inside",
        f"{_FRONTEND} vmap @services",
        f"ip daddr != 127.0.0.0/8 fib daddr type local {_NODE_PORT} vmap @node_ports",
        "}",
        "chain translate_inside {",
        f"{_FRONTEND} vmap @services_inside",
        f"ip daddr != 127.0.0.0/8 fib daddr type local {_NODE_PORT} vmap @node_ports_inside",
        "}",
        # After the translation: remember whom a client was given, refuse what was not translated.
        "chain translated { type filter hook prerouting priority -90; jump settle; }",
        "chain output_translated { type filter hook output priority -90; jump settle; }",
        "chain settle {",
        "ct state new ct status dnat jump remember",
        f"ip daddr {services} ip daddr != {dns} goto refuse",
        f"{_FRONTEND} @refused goto refuse",
        "}",
        "chain remember {",
        *(f"meta l4proto {protocol} {_ORIGINAL} vmap @affinity_timeouts" for protocol in _PROTOCOLS),
        *(
            f"meta l4proto {protocol} {_ORIGINAL_NODE_PORT} vmap @node_port_affinity_timeouts"
            for protocol in _PROTOCOLS
        ),
        "}",
        # A reset for TCP: the kernel sends one ICMP error per second to a destination (icmp_ratelimit, after a burst
        # of six), so that a client whose error was left out would try for another second.
        "chain refuse {",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmp type port-unreachable",
        "}",
        "chain postrouting { type nat hook postrouting priority 100;",
        f"ct status dnat ip saddr . ip daddr @hairpins snat to {config.node_address} fully-random",
        f"ip saddr {cluster} ip daddr {cluster} return",
        # From outside through this node to a backend elsewhere: the answer must come back through this node.
        f'ct status dnat ip saddr != {cluster} oifname != "{POD_LINK_PREFIX}*" oifname != "lo" masquerade fully-random',
        f'ip saddr {pods} oifname != {{ "lo", "{VXLAN_LINK}" }} masquerade fully-random',
        "}",
        "}",
    )


def _ipv6_chains() -> tuple[str, ...]:
    """Pods have no IPv6 address: whatever comes from them by it (router advertisements!) is meant for nobody."""
    return (
        f"table {TABLE_V6}",
        f"flush table {TABLE_V6}",
        f"table {TABLE_V6} {{",
        f'chain pods {{ type filter hook prerouting priority -300; iifname "{POD_LINK_PREFIX}*" drop; }}',
        "}",
    )


def _chain_name(chain: Pick | Remember) -> str:
    if isinstance(chain, Remember):
        return f"remember_{chain.timeout_s}"
    kinds = ((chain.sticky, "sticky"), (chain.node_port, "node"), (chain.first > 0, "inside"))
    return "_".join([*(name for holds, name in kinds if holds), f"pick_{chain.protocol}_{chain.count}"])


def _chains(values: Iterable[Value], known: Iterable[str] = ()) -> Iterator[str]:
    """The on-demand chains that `values` lead to and that are not known yet."""
    needed = {_chain_name(value): value for value in values if isinstance(value, Pick | Remember)}
    for name in sorted(needed.keys() - set(known)):
        yield f"add chain {TABLE} {name}"
        yield f"flush chain {TABLE} {name}"
        yield from (f"add rule {TABLE} {name} {rule}" for rule in _rules(needed[name]))


def _rules(chain: Pick | Remember) -> Iterator[str]:
    if isinstance(chain, Remember):
        entry = f"ip saddr . {_ORIGINAL} timeout {chain.timeout_s}s : ip daddr . th dport"
        yield from (f"meta l4proto {protocol} update @affinity {{ {entry} }}" for protocol in _PROTOCOLS)
        return
    if chain.sticky:
        yield f"dnat ip to ip saddr . {_FRONTEND} map @affinity"
    index = f"numgen random mod {chain.count} offset {chain.first}"
    name = chain.protocol
    if chain.node_port:
        yield f"dnat ip to {name} dport . {index} map @node_port_endpoints_{name}"
    else:
        yield f"dnat ip to ip daddr . {name} dport . {index} map @endpoints_{name}"


def _element_commands(verb: str, elements: Elements) -> Iterator[str]:
    for name, group in groupby(sorted(elements), key=lambda key: key.map):
        written = ", ".join(_element(key.key, elements[key]) for key in group)
        yield f"{verb} element {TABLE} {name} {{ {written} }}"


def _element(key: str, value: Value) -> str:
    match value:
        case None:
            return key
        case Backend(address, port):
            return f"{key} : {address} . {port}"
        case Drop():
            return f"{key} : drop"
    return f"{key} : goto {_chain_name(value)}"
