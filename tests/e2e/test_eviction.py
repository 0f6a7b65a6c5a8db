"""A node of a cluster runs short of memory: the pod that uses more than it asked for is evicted, its replacement runs
elsewhere, and the node takes pods again when it is over."""

from collections.abc import Iterator

import pytest

from tests import quickstart
from tests.e2e.cluster import ORCH, Cluster, is_ready, wait_until
from tests.e2e.pods import Manifest, deployment

NAME, PORT = "e2e-pressure", 31443
NODE_MEMORY = "700Mi"
"""Of which the agent's threshold leaves 100Mi."""
EVICTED_S, RELIEVED_S = 90.0, 120.0
TAINT = "node.kubernetes.io/memory-pressure"
GROWS_WHEN_TOLD = """
while [ ! -e /grow ]; do sleep 0.2; done
while :; do (dd if=/dev/zero bs=30M count=1 2>/dev/null | sleep 1000) & sleep 0.5; done
"""
"""A dd that nobody reads holds its buffer."""


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own: its nodes have little memory."""
    cluster = Cluster(NAME, tmp_path_factory.mktemp("home"))
    cluster.run([ORCH, "cluster", "down", "--name", NAME], check=False)
    up = ("cluster", "up", "--name", NAME, "--nodes", "2", "--port", str(PORT), "--memory", NODE_MEMORY)
    try:
        cluster.orch(*up)
        cluster.orch("image", "build", "-t", "quickstart:1", "--push", str(quickstart.context(cluster.home)))
        yield cluster
    finally:
        cluster.orch("cluster", "down", "--name", NAME)


def has_pressure(cluster: Cluster, node: str) -> tuple[bool, bool]:
    """(the condition, the taint)"""
    found = cluster.get("node", node, "")
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    return conditions["MemoryPressure"] == "True", TAINT in [one["key"] for one in found["spec"].get("taints", [])]


def of(cluster: Cluster, name: str) -> list[Manifest]:
    return cluster.list("pods", selector=f"app={name}")


def test_who_exceeds_its_request_is_evicted_and_replaced_elsewhere(small: Cluster) -> None:
    small.apply(
        deployment("greedy", 1, "sh", "-c", GROWS_WHEN_TOLD, resources={"requests": {"memory": "20Mi"}}),
        deployment("modest", 2, "sleep", "1000", resources={"requests": {"memory": "20Mi"}}),
    )
    small.orch("rollout", "status", "deployment/greedy", "--timeout", "60s")
    small.orch("rollout", "status", "deployment/modest", "--timeout", "60s")
    [greedy] = of(small, "greedy")
    name, node = greedy["metadata"]["name"], greedy["spec"]["nodeName"]
    assert has_pressure(small, node) == (False, False)
    modest = sorted(one["metadata"]["uid"] for one in of(small, "modest"))

    small.exec(name, "touch", "/grow")
    wait_until("the condition and the taint", lambda: has_pressure(small, node) == (True, True), EVICTED_S)
    status = wait_until(
        "the eviction",
        lambda: next((one["status"] for one in of(small, "greedy") if one["status"].get("reason") == "Evicted"), None),
        EVICTED_S,
    )
    assert status["phase"] == "Failed"
    assert status["message"].startswith("The node was low on resource: memory.")
    wait_until("its replacement, ready elsewhere", lambda: replacements(small, name, node) == [True], EVICTED_S)
    assert sorted(one["metadata"]["uid"] for one in of(small, "modest") if is_ready(one)) == modest

    wait_until("the node's relief", lambda: has_pressure(small, node) == (False, False), RELIEVED_S)


def replacements(cluster: Cluster, name: str, node: str) -> list[bool]:
    """Whether each pod that is not the evicted one is ready and on another node."""
    others = [one for one in of(cluster, "greedy") if one["metadata"]["name"] != name]
    return [is_ready(one) and one["spec"].get("nodeName") != node for one in others]
