"""The objects that the API benchmark writes: a pod of 2.4 KB as served, and a node with what an agent reports."""

import json


def pod(name: str, node: str = "") -> bytes:
    """Named for a scheduler that does not exist: nothing but the API works on it."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 1}
    container = {
        "name": "web",
        "image": "registry.example.com/team/web:1.2.3",
        "command": ["/bin/web", "--listen=:8080", "--log-format=json"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "DATABASE", "value": "postgres://db.default.svc:5432/web"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
    }
    spec = {
        "schedulerName": "nobody",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "web"}}],
    }
    if node:
        spec["nodeName"] = node
    labels = {"app": "web", "tier": "frontend", "release": "stable"}
    metadata = {"name": name, "namespace": "default", "labels": labels, "annotations": {"team": "web"}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).encode()


def node(name: str) -> bytes:
    resources = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    info = {
        "architecture": "amd64", "bootID": name, "containerRuntimeVersion": "orch://1", "kernelVersion": "6.1.0",
        "kubeProxyVersion": "", "kubeletVersion": "v1.34.2", "machineID": name, "operatingSystem": "linux",
        "osImage": "Debian GNU/Linux 12 (bookworm)", "systemUUID": name,
    }  # fmt: skip
    status = {"capacity": resources, "allocatable": resources, "nodeInfo": info}
    metadata = {"name": name, "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}).encode()
