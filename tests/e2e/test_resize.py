"""Resizing a running pod with kubectl, and RuntimeClasses, through the whole cluster."""

import json
from typing import Any

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import pod

PATCHES_RESIZE = (1, 33)


def resources(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}


def resize(cluster: Cluster, name: str, cpu: str, memory: str) -> None:
    patch = {"spec": {"containers": [{"name": "main", "resources": resources(cpu, memory)}]}}
    cluster.kubectl("patch", "pod", name, "--subresource", "resize", "-p", json.dumps(patch), version=PATCHES_RESIZE)


def resize_reason(cluster: Cluster, name: str) -> str | None:
    conditions = {c["type"]: c for c in cluster.get("pod", name)["status"]["conditions"]}
    return next((c.get("reason", "") for type_, c in conditions.items() if type_.startswith("PodResize")), None)


def test_kubectl_resizes_a_pod_that_runs(cluster: Cluster) -> None:
    cluster.apply(pod("growing", "sleep", "4711", container={"resources": resources("100m", "32Mi")}))
    before = cluster.wait_ready("growing")
    resize(cluster, "growing", "200m", "64Mi")

    def grown() -> dict[str, Any] | None:
        found = cluster.get("pod", "growing")
        (status,) = found["status"]["containerStatuses"]
        done = status.get("resources") == resources("200m", "64Mi") and resize_reason(cluster, "growing") is None
        return found if done else None

    after = wait_until("the pod to be resized", grown)
    (was,), (now,) = before["status"]["containerStatuses"], after["status"]["containerStatuses"]
    assert (now["containerID"], now["restartCount"]) == (was["containerID"], 0)
    assert now["allocatedResources"] == {"cpu": "200m", "memory": "64Mi"}
    assert after["metadata"]["generation"] == after["status"]["observedGeneration"] == 2
    resize(cluster, "growing", "9999", "64Mi")
    wait_until("the resize to be refused", lambda: resize_reason(cluster, "growing") == "Infeasible")
    cluster.delete("pod", "growing")


def test_a_pod_runs_under_the_runtime_class_that_it_names(cluster: Cluster) -> None:
    cluster.apply(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "other"},
            "handler": "runc",
            "overhead": {"podFixed": {"cpu": "50m"}},
        },
        pod("classy", "sleep", "4711", runtimeClassName="other"),
    )
    found = cluster.wait_ready("classy")
    assert found["spec"]["overhead"] == {"cpu": "50m"}
    cluster.delete("pod", "classy")
    cluster.delete("runtimeclass", "other")
