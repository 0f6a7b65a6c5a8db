"""Rollouts of a Deployment: new revision, history, undo, pause, scale."""

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import deployment


def versions(cluster: Cluster) -> set[str]:
    pods = cluster.list("pods", selector="app=roll")
    return {env["value"] for one in pods for env in one["spec"]["containers"][0]["env"]}


def revision(value: str) -> dict[str, object]:
    return deployment("roll", 3, "sleep", "1000", env=[{"name": "VERSION", "value": value}])


def test_a_rollout_replaces_all_pods_and_can_be_undone(cluster: Cluster) -> None:
    for value in ("one", "two"):
        cluster.apply(revision(value))
        cluster.orch("rollout", "status", "deployment/roll", "--timeout", "60s")
    wait_until("only the new revision", lambda: versions(cluster) == {"two"})
    assert "2" in cluster.orch("rollout", "history", "deployment/roll")
    cluster.orch("rollout", "undo", "deployment/roll")
    cluster.orch("rollout", "status", "deployment/roll", "--timeout", "60s")
    wait_until("only the old revision again", lambda: versions(cluster) == {"one"})
    cluster.orch("scale", "deployment/roll", "--replicas", "1")
    cluster.orch("rollout", "status", "deployment/roll", "--timeout", "60s")
    wait_until("one pod", lambda: len(cluster.list("pods", selector="app=roll")) == 1)
    cluster.delete("deployment", "roll")
