"""What a local cluster is and where its things are. Pure data, but for loading and saving it.

A cluster has one block of ports that begins at `port`; a node has a number from 1, which gives its name and address.
"""

import ipaddress
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orch.errors import OrchError
from orch.kit.files import write_atomic

STATE_ROOT = Path("/var/lib/orch/clusters")
"""On disk: survives a reboot."""
RUN_ROOT = Path("/run/orch")
"""On tmpfs: gone after a reboot, like the processes that it tells of."""
HOME_ROOT = Path("~/.orch/clusters")
"""What the cluster's admin needs: kubeconfig, registry certificate."""
DEFAULT_PORT = 6443
PORTS_PER_CLUSTER = 7
NODES_MAX = 50
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
SHORT_NAME_MAX = 7
"""Longer cluster names do not fit into the 15 characters of an interface name, with a node's number."""
FIRST_NODE_HOST = 10


class ClusterError(OrchError):
    """Says what failed, where, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All on the machine, not in the nodes."""

    api: int
    node: int
    join: int
    """Always the one after `node`."""
    etcd: int
    etcd_peer: int
    registry: int
    registry_push: int

    @classmethod
    def starting_at(cls, port: int) -> "Ports":
        return cls(*range(port, port + PORTS_PER_CLUSTER))

    def items(self) -> Iterator[tuple[str, int]]:
        yield from asdict(self).items()


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    address: str
    link: str
    """The machine's end of the node's cable."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """`cpus` and `memory_bytes` are each node's share of the machine; `outbound`: nodes reach the world by NAT."""

    name: str
    node_count: int
    subnet: str
    cpus: float
    memory_bytes: int
    port: int = DEFAULT_PORT
    outbound: bool = True
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"
    node_port_range: str = "30000-32767"
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ports", Ports.starting_at(self.port))

    @property
    def gateway(self) -> str:
        """The machine's address on the bridge: where nodes find the server and the registry."""
        return str(ipaddress.ip_network(self.subnet)[1])

    @property
    def bridge(self) -> str:
        short = self.name if len(self.name) <= SHORT_NAME_MAX else f"{zlib.crc32(self.name.encode()):08x}"[:7]
        return f"orch-{short}"

    @property
    def nodes(self) -> list[Node]:
        network = ipaddress.ip_network(self.subnet)
        return [
            Node(f"node-{number}", str(network[FIRST_NODE_HOST + number]), f"{self.bridge}.{number}")
            for number in range(1, self.node_count + 1)
        ]

    @property
    def paths(self) -> "Paths":
        return Paths(self.name)


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders and files of the cluster of that name."""

    name: str

    @property
    def state(self) -> Path:
        return STATE_ROOT / self.name

    @property
    def spec_file(self) -> Path:
        return self.state / "cluster.json"

    @property
    def server(self) -> Path:
        return self.state / "server"

    @property
    def pki(self) -> Path:
        return self.server / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def run(self) -> Path:
        return RUN_ROOT / self.name

    @property
    def home(self) -> Path:
        return HOME_ROOT.expanduser() / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def cgroup(self) -> str:
        """Relative to each hierarchy."""
        return f"orch/{self.name}"

    def node(self, node: str) -> Path:
        return self.state / "nodes" / node


def load(name: str) -> ClusterSpec | None:
    """None when there is no cluster of that name. Raises ClusterError for a file that is no good."""
    path = Paths(name).spec_file
    try:
        values = json.loads(path.read_text())
        values.pop("ports", None)
        return ClusterSpec(**values)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ClusterError(f"{path}: reading about a local cluster needs root: run it with sudo") from None
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(f"{path}: cannot be read: {error}: 'orch cluster down --name {name}' removes it") from error


def save(spec: ClusterSpec) -> None:
    spec.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(spec.paths.spec_file, json.dumps(asdict(spec), indent=2).encode() + b"\n")


def names() -> list[str]:
    """Of all clusters that have a state folder."""
    return sorted(path.parent.name for path in STATE_ROOT.glob("*/cluster.json"))


def check_name(name: str) -> None:
    if not NAME_PATTERN.fullmatch(name):
        raise ClusterError(
            f"--name {name}: a cluster's name has 1 to 32 lower-case letters, digits and dashes, and begins and ends "
            "with a letter or digit"
        )
