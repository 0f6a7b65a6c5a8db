"""What pods use is seen by `orch top`, kubectl top and a Prometheus scraper, and is what the pod really does."""

import json
from typing import Any

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import pod

METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"
BUSY_MILLICORES = range(150, 301)
"""A loop under a limit of 250m, with what a period's edges add and take."""


def millicores(cluster: Cluster) -> int:
    """0: there are no figures of the pod yet."""
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "--raw", METRICS))["items"]
    containers = [container for item in items if item["metadata"]["name"] == "busy" for container in item["containers"]]
    return sum(int(container["usage"]["cpu"].rstrip("n")) // 1_000_000 for container in containers)


def test_a_busy_pod_is_seen_to_be_busy(cluster: Cluster) -> None:
    limits = {"resources": {"limits": {"cpu": "250m", "memory": "32Mi"}}}
    cluster.apply(pod("busy", "sh", "-c", "while :; do :; done", container=limits))
    node = cluster.wait_ready("busy")["spec"]["nodeName"]
    wait_until("figures of a pod that is busy for a whole window", lambda: millicores(cluster) >= 150, 60)
    assert millicores(cluster) in BUSY_MILLICORES
    assert "busy" in cluster.orch("top", "pods")
    assert node in cluster.kubectl("top", "node")
    scraped = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/cadvisor")
    throttled = 'container_cpu_cfs_throttled_periods_total{container="main",namespace="default",pod="busy"}'
    assert float(next(line for line in scraped.splitlines() if line.startswith(throttled)).split()[-1]) > 0
    cluster.orch("delete", "pod/busy")
