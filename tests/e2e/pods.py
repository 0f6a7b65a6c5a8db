"""Manifests for the end-to-end tests, as plain data: pods and workloads of the busybox image."""

from typing import Any

IMAGE = "quickstart:1"
Manifest = dict[str, Any]


def pod(name: str, *command: str, node: str = "", labels: dict[str, str] | None = None, **spec: Any) -> Manifest:
    """A pod of one container `main`; without a command it serves HTTP on port 8080."""
    container: Manifest = {"name": "main", "image": IMAGE, "securityContext": {"runAsUser": 0}}
    if command:
        container["command"] = list(command)
    container |= spec.pop("container", {})
    placement = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **placement, **spec},
    }


def deployment(name: str, replicas: int, *command: str, **container: Any) -> Manifest:
    template = pod(name, *command, container=container)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def service(name: str, port: int, target_port: int | str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target_port}], **spec},
    }
