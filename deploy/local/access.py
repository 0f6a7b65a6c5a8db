"""What the admin of a local cluster gets: kubeconfig and registry certificate; and the cluster seen through them."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local import nodes, processes
from deploy.local.spec import ClusterError, ClusterSpec, Node
from orch import kubeconfig
from orch.cli.connection import Connection
from orch.cli.durations import parse_time
from orch.errors import OrchError
from orch.kit.files import PRIVATE_MODE, PUBLIC_MODE, write_atomic

REGISTRY_FOLDER = "registry"
"""Beside the kubeconfig: `address`, and certificates as skopeo's --cert-dir wants them named."""
POLL_S = 0.1
NODES_PATH = "/api/v1/nodes"
LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

Plain = dict[str, Any]


def write(spec: ClusterSpec) -> None:
    """Idempotent: files that are right already are left alone."""
    home, pki = spec.paths.home, spec.paths.pki
    (home / REGISTRY_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    _keep(spec.paths.kubeconfig, (spec.paths.server / "admin.kubeconfig").read_bytes(), PRIVATE_MODE)
    address = f"127.0.0.1:{spec.ports.registry_push}\n".encode()
    _keep(home / REGISTRY_FOLDER / "address", address, PUBLIC_MODE)
    _keep(home / REGISTRY_FOLDER / "ca.crt", (pki / "ca.crt").read_bytes(), PUBLIC_MODE)
    _keep(home / REGISTRY_FOLDER / "client.cert", (pki / "registry-push.crt").read_bytes(), PUBLIC_MODE)
    _keep(home / REGISTRY_FOLDER / "client.key", (pki / "registry-push.key").read_bytes(), PRIVATE_MODE)


def _keep(path: Path, content: bytes, mode: int) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content, mode=mode)


def wait_for_nodes(
    spec: ClusterSpec, heard_after: dict[str, datetime], timeout_s: float, say: Callable[[str], None]
) -> None:
    """Until every node is Ready; says each step. Raises ClusterError, which names a node that is not and why.

    `heard_after`: nodes that were started just now, and when; what the server kept of them from before does not count.
    """
    deadline = time.monotonic() + timeout_s
    said = ""
    with closing(Connection(kubeconfig.load([spec.paths.kubeconfig]))) as api:
        while True:
            ready = ready_nodes(*_seen(api), heard_after)
            waited_for = [node for node in spec.nodes if node.name not in ready]
            line = f"nodes: {len(spec.nodes) - len(waited_for)} of {len(spec.nodes)} Ready"
            if line != said:
                say(line)
                said = line
            if not waited_for:
                return
            processes.reap()
            for node in waited_for:
                _give_up_if_dead(spec, node, time.monotonic() >= deadline)
            time.sleep(POLL_S)


def _give_up_if_dead(spec: ClusterSpec, node: Node, too_late: bool) -> None:
    """Raises ClusterError when there is no point in waiting for this node."""
    ended = nodes.find(spec, node).agent is None
    if ended or too_late:
        what = "its agent has ended" if ended else "waited long enough"
        raise ClusterError(f"{node.name} is not Ready, {what}: {processes.last_line(nodes.log_of(spec, node))}")


def _seen(api: Connection) -> tuple[list[Plain], list[Plain]]:
    """(Nodes, their Leases); nothing as long as the server does not answer."""
    try:
        found = [api.get(path)["items"] or [] for path in (NODES_PATH, LEASES_PATH)]
    except OrchError:
        return [], []
    return found[0], found[1]


def ready_nodes(node_objects: list[Plain], leases: list[Plain], heard_after: dict[str, datetime]) -> set[str]:
    """Names of nodes that are Ready, and whose lease was renewed after the given time where there is one."""
    renewed = {
        lease["metadata"]["name"]: parse_time(lease["spec"]["renewTime"])
        for lease in leases
        if lease["spec"].get("renewTime")
    }
    long_ago = datetime.min.replace(tzinfo=UTC)
    return {
        name
        for node in node_objects
        if (name := node["metadata"]["name"]) not in heard_after or renewed.get(name, long_ago) >= heard_after[name]
        if _is_ready(node)
    }


def _is_ready(node: Plain) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
