"""The machine's side of a local cluster's network: a bridge, a cable per node, and the way out by NAT.

Everything carries the cluster's name, so that it is found again and removed without a record of it.
"""

import ipaddress
import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.local import spec as specs
from deploy.local.commands import run, succeeds
from deploy.local.spec import ClusterError, ClusterSpec, Node

SUBNET_POOL = ipaddress.IPv4Network("172.30.0.0/16")
SUBNET_PREFIX = 24
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
SAVED_IP_FORWARD = "ip_forward"
"""In the run folder of all clusters: the machine's own setting, put back with the last cluster."""


def choose_subnet() -> str:
    """The first /24 of the pool that no route and no other cluster uses. Raises ClusterError when there is none."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    taken = [ipaddress.ip_network(r["dst"]) for r in routes if r.get("dst", "default") != "default"]
    others = [spec for name in specs.names() if (spec := specs.load(name)) is not None]
    taken += [ipaddress.ip_network(spec.subnet) for spec in others]
    return first_free(SUBNET_POOL.subnets(new_prefix=SUBNET_PREFIX), taken)


def first_free(
    candidates: Iterable[ipaddress.IPv4Network], taken: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> str:
    used = [network for network in taken if isinstance(network, ipaddress.IPv4Network)]
    for candidate in candidates:
        if not any(candidate.overlaps(network) for network in used):
            return str(candidate)
    raise ClusterError(f"no free /{SUBNET_PREFIX} in {SUBNET_POOL}: take another local cluster down")


def has_link(name: str) -> bool:
    """By the kernel's own word: /sys may be mounted from another network namespace."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def ensure_bridge(spec: ClusterSpec) -> bool:
    """There, with its address, up, and with every cable plugged in. Whether something had to be done."""
    commands = []
    if not has_link(spec.bridge):
        run(["ip", "link", "add", spec.bridge, "type", "bridge"])
    bridge = _shown(spec.bridge)
    if spec.gateway not in [address.get("local") for address in bridge["addr_info"]]:
        prefix = ipaddress.ip_network(spec.subnet).prefixlen
        commands.append(["address", "add", f"{spec.gateway}/{prefix}", "dev", spec.bridge])
    if "UP" not in bridge["flags"]:
        commands.append(["link", "set", spec.bridge, "up"])
    for link in (node.link for node in spec.nodes if has_link(node.link)):
        cable = _shown(link)
        if cable.get("master") != spec.bridge or "UP" not in cable["flags"]:
            commands.append(["link", "set", link, "master", spec.bridge, "up"])
    for command in commands:
        run(["ip", *command])
    return bool(commands)


def _shown(link: str) -> dict[str, Any]:
    [shown] = json.loads(run(["ip", "-json", "address", "show", "dev", link]))
    return dict(shown)


def connect(spec: ClusterSpec, node: Node, init_pid: int) -> None:
    """Gives the node's network namespace its eth0 and the way to the machine."""
    prefix = ipaddress.ip_network(spec.subnet).prefixlen
    if has_link(node.link):
        run(["ip", "link", "delete", node.link])
    pid = str(init_pid)
    run(["ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", pid])
    run(["ip", "link", "set", node.link, "master", spec.bridge, "up"])
    commands = [
        "link set lo up",
        f"address add {node.address}/{prefix} dev eth0",
        "link set eth0 up",
        f"route add default via {spec.gateway}",
    ]
    run(["nsenter", "--target", pid, "--net", "ip", "-batch", "-"], stdin="\n".join(commands) + "\n")


def ensure_outbound(spec: ClusterSpec) -> bool:
    """Lets nodes reach the world as if they were the machine. Whether something had to be made."""
    if not spec.outbound or succeeds(["nft", "list", "table", "ip", spec.bridge]):
        return False
    saved = specs.RUN_ROOT / SAVED_IP_FORWARD
    if not saved.exists():
        saved.write_text(IP_FORWARD.read_text())
    IP_FORWARD.write_text("1")
    run(["nft", "-f", "-"], stdin=_outbound_rules(spec))
    return True


def _outbound_rules(spec: ClusterSpec) -> str:
    return f"""
        table ip {spec.bridge} {{
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr {spec.subnet} oifname != "{spec.bridge}" masquerade
            }}
        }}
    """


def remove(spec: ClusterSpec) -> None:
    """Cables went with their nodes' namespaces; an interrupted `up` may have left one."""
    for node in spec.nodes:
        if has_link(node.link):
            run(["ip", "link", "delete", node.link])
    if has_link(spec.bridge):
        run(["ip", "link", "delete", spec.bridge])
    if succeeds(["nft", "list", "table", "ip", spec.bridge]):
        run(["nft", "delete", "table", "ip", spec.bridge])


def restore_forwarding() -> None:
    """For the last cluster: the machine's setting as it was before the first."""
    saved = specs.RUN_ROOT / SAVED_IP_FORWARD
    if saved.exists():
        IP_FORWARD.write_text(saved.read_text())
        saved.unlink()
