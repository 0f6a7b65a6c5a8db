"""The quick start, as the README tells it."""

import re
import urllib.request
from functools import partial
from pathlib import Path

from tests.e2e.cluster import Cluster, wait_until

MANIFESTS = str(Path(__file__).parents[2] / "manifests" / "quickstart")


ROOTS, LINKS = "overlay /", ": pod"
"""What mounts of containers' roots and links of pods show as."""


def fetch(address: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def test_the_quick_start_runs_and_answers_on_every_node(cluster: Cluster) -> None:
    created = cluster.orch("apply", "-f", MANIFESTS)
    assert "deployment.apps/web created" in created
    cluster.orch("rollout", "status", "deployment/web", "-n", "quickstart", "--timeout", "60s")
    pods = cluster.list("pods", "quickstart", "app=web")
    assert len(pods) == 3
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3, "one pod on each node"
    for node in ("node-1", "node-2", "node-3"):
        page = fetch(cluster.node_address(node), 30080)
        assert re.search(r"Hello from pod web-\w+-\w+ at 10\.244\.\d+\.\d+ on node-\d", page)


def test_applying_again_changes_nothing(cluster: Cluster) -> None:
    cluster.orch("apply", "-f", MANIFESTS)
    again = cluster.orch("apply", "-f", MANIFESTS)
    assert again.count(" unchanged\n") == len(again.splitlines()) == 4


def test_the_service_balances_over_all_pods(cluster: Cluster) -> None:
    cluster.orch("apply", "-f", MANIFESTS)
    cluster.orch("rollout", "status", "deployment/web", "-n", "quickstart", "--timeout", "60s")
    address = cluster.node_address("node-1")
    pages: set[str] = set()

    def all_seen() -> bool:
        pages.add(fetch(address, 30080))
        return len(pages) == 3

    wait_until("pages of three pods through one node", all_seen, timeout_s=20)


def test_cluster_names_resolve_in_a_pod(cluster: Cluster) -> None:
    cluster.orch("apply", "-f", MANIFESTS)
    cluster.orch("rollout", "status", "deployment/web", "-n", "quickstart", "--timeout", "60s")
    for name in ("web", "web.quickstart", "web.quickstart.svc", "web.quickstart.svc.cluster.local"):
        page = cluster.orch("exec", "deploy/web", "-n", "quickstart", "--", "wget", "-qO-", f"http://{name}/")
        assert page.startswith("Hello from pod"), name


def test_deleting_the_namespace_removes_everything(cluster: Cluster) -> None:
    cluster.orch("apply", "-f", MANIFESTS)
    cluster.orch("rollout", "status", "deployment/web", "-n", "quickstart", "--timeout", "60s")
    assert not has_none(cluster, "node-1", ROOTS)
    assert not has_none(cluster, "node-1", LINKS)
    cluster.orch("delete", "-f", MANIFESTS, "--timeout", "60s")
    assert cluster.list("pods", "quickstart") == []
    for node in ("node-1", "node-2", "node-3"):
        wait_until(f"no container's root left on {node}", partial(has_none, cluster, node, ROOTS))
        wait_until(f"no pod's link left on {node}", partial(has_none, cluster, node, LINKS))


def has_none(cluster: Cluster, node: str, trace: str) -> bool:
    """Whether neither mounts nor links of the node show the trace."""
    return trace not in cluster.on_node(node, "cat", "/proc/self/mounts") + cluster.on_node(node, "ip", "-o", "link")
