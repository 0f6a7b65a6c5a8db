"""What breaks is survived: a killed agent, a stopped control plane, a lost node."""

import signal
import time

from deploy.local import processes
from tests.e2e.cluster import Cluster, restarts, wait_until
from tests.e2e.pods import deployment, pod


def container_id(cluster: Cluster, name: str) -> str:
    return str(cluster.get("pod", name)["status"]["containerStatuses"][0]["containerID"])


def test_a_killed_agent_adopts_its_containers(cluster: Cluster) -> None:
    cluster.apply(pod("steady", "sh", "-c", "while true; do date +%s; sleep 0.2; done", node="node-1"))
    cluster.wait_ready("steady")
    before = container_id(cluster, "steady")
    killed = cluster.agent("node-1")
    assert killed is not None
    killed.signal(signal.SIGKILL)
    wait_until("a new agent", lambda: cluster.agent("node-1") not in (None, killed))
    wait_until("logs through the new agent", lambda: cluster.orch("logs", "steady", "--tail", "1", check=False))
    assert container_id(cluster, "steady") == before
    assert restarts(cluster.get("pod", "steady")) == 0
    cluster.delete("pod", "steady")


def test_a_stopped_control_plane_changes_nothing_on_the_nodes(cluster: Cluster) -> None:
    """1. The server goes. 2. A container crashes and is started again. 3. The server returns and sees it."""
    script = "if [ -e /data/once ]; then sleep 1000; fi; touch /data/once; sleep 3; exit 1"
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    cluster.apply(
        pod("crasher", "sh", "-c", script, container=mounts, volumes=[{"name": "data", "emptyDir": {}}]),
        pod("bystander", "sleep", "1000"),
    )
    cluster.wait_ready("bystander")
    wait_until("the crasher to run", lambda: cluster.get("pod", "crasher")["status"].get("phase") == "Running")
    server = processes.read(cluster.spec.paths.run / "orch-server.pid")
    assert server is not None
    processes.stop(server, grace_s=10)
    time.sleep(6)
    cluster.orch("cluster", "up", "--name", cluster.name, "--nodes", "3", "--port", str(cluster.spec.port))
    crashed = wait_until("the restart to be known", lambda: restarts(cluster.get("pod", "crasher")) >= 1)
    assert crashed
    assert restarts(cluster.get("pod", "bystander")) == 0
    cluster.delete("pod", "crasher", "bystander")


def test_pods_of_a_lost_node_are_replaced_within_seconds(cluster: Cluster) -> None:
    cluster.apply(deployment("safe", 3, "sleep", "1000"))
    cluster.orch("rollout", "status", "deployment/safe", "--timeout", "60s")
    victim = cluster.list("pods", selector="app=safe")[0]["spec"]["nodeName"]
    shell = cluster.processes_of(victim).shell
    assert shell is not None
    shell.signal(signal.SIGKILL)
    lost_at = time.monotonic()

    def replaced() -> bool:
        pods = [one for one in cluster.list("pods", selector="app=safe") if one["spec"].get("nodeName") != victim]
        return sum(one["status"].get("phase") == "Running" for one in pods) == 3

    wait_until("three pods on the nodes that are left", replaced)
    print(f"node loss -> replacements running: {time.monotonic() - lost_at:.1f} s")
    assert "NotReady" in cluster.orch("get", "node", victim)
    cluster.orch("cluster", "up", "--name", cluster.name, "--nodes", "3", "--port", str(cluster.spec.port))
    wait_until("the node to be back", lambda: "NotReady" not in cluster.orch("get", "node", victim))
    cluster.delete("deployment", "safe")
    wait_until("no pod left", lambda: cluster.list("pods", selector="app=safe") == [])
