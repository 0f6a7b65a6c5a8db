"""Pods on nodes that are hosts of their own reach each other by pod address and by Service."""

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import pod, service

SERVE = ("sh", "-c", "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www")


def test_a_pod_fetches_from_another_node_by_pod_address_and_service(cluster: Cluster) -> None:
    cluster.apply(
        pod("server", *SERVE, node="node-2"), pod("asker", "sleep", "1000", node="node-1"), service("server", 80, 8080)
    )
    server, _ = cluster.wait_ready("server"), cluster.wait_ready("asker")
    pod_ip = server["status"]["podIP"]
    cluster_ip = cluster.get("service", "server")["spec"]["clusterIP"]
    assert cluster.exec("asker", "timeout", "5", "wget", "-qO-", f"http://{pod_ip}:8080/") == "server\n"
    wait_until(
        "the service to answer",
        lambda: (
            cluster.orch("exec", "asker", "--", "timeout", "5", "wget", "-qO-", f"http://{cluster_ip}/", check=False)
            == "server\n"
        ),
    )
    assert cluster.exec("asker", "timeout", "5", "wget", "-qO-", "http://server/") == "server\n"
    cluster.delete("pod", "server", "asker")
    cluster.delete("service", "server")


def test_every_pod_reaches_every_pod(cluster: Cluster) -> None:
    names = {node: f"mesh-{node}" for node in ("node-1", "node-2", "node-3")}
    cluster.apply(*(pod(name, *SERVE, node=node) for node, name in names.items()))
    addresses = {name: cluster.wait_ready(name)["status"]["podIP"] for name in names.values()}
    for asker in names.values():
        for server, address in addresses.items():
            assert cluster.exec(asker, "timeout", "5", "wget", "-qO-", f"http://{address}:8080/") == f"{server}\n"
    cluster.delete("pod", *names.values())
