"""The API as a pod sees it: the Python client's `load_incluster_config`, and kubectl's questions about identities."""

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import Manifest, pod
from tests.kubectl import Kubectl, installed

PACKAGES = str(Path(sys.executable).parents[1] / "lib")
"""Of the virtual environment that runs the tests, seen by the machine's own Python."""
HOST_PATHS = {"/usr": "/usr", "/lib": "/lib", "/lib64": "/lib64", "/etc/ld.so.cache": "/etc/ld.so.cache"}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
PROGRAM = """
import json
from kubernetes import client, config
config.load_incluster_config()
core = client.CoreV1Api()
def status_of(call):
    try:
        call()
    except client.ApiException as error:
        return error.status
    return 200
print(json.dumps({
    "pods": [pod.metadata.name for pod in core.list_namespaced_pod("default").items],
    "others": status_of(lambda: core.list_namespaced_pod("kube-system")),
    "secrets": status_of(lambda: core.list_namespaced_secret("default")),
    "write": status_of(lambda: core.delete_namespaced_pod("pythonic-inside", "default")),
    "who": client.AuthenticationV1Api().create_self_subject_review({}).status.user_info.to_dict(),
}))
"""
ASKING = [one for one in installed() if one.version >= (1, 24)]
"""`create token` came with 1.24; `auth whoami` asks for the API's v1 since 1.28."""


def python_pod(name: str) -> Manifest:
    mounted = HOST_PATHS | {PACKAGES: "/packages"}
    volumes = [{"name": f"v{n}", "hostPath": {"path": path}} for n, path in enumerate(mounted)]
    mounts = [{"name": f"v{n}", "mountPath": at, "readOnly": True} for n, at in enumerate(mounted.values())]
    packages = f"/packages/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    container = {"volumeMounts": mounts, "env": [{"name": "PYTHONPATH", "value": packages}]}
    return pod(name, "sleep", "1000", container=container, volumes=volumes)


def test_the_python_client_works_inside_a_pod(cluster: Cluster) -> None:
    cluster.apply(python_pod("pythonic-inside"))
    cluster.wait_ready("pythonic-inside")
    said = json.loads(cluster.exec("pythonic-inside", "/usr/bin/python3", "-c", PROGRAM))
    assert "pythonic-inside" in said["pods"]
    assert (said["others"], said["secrets"], said["write"]) == (403, 403, 403)
    assert said["who"]["username"] == "system:serviceaccount:default:default"
    assert said["who"]["extra"]["authentication.kubernetes.io/pod-name"] == ["pythonic-inside"]
    assert cluster.exec("pythonic-inside", "cat", f"{TOKEN}/namespace") == "default"
    token = cluster.exec("pythonic-inside", "cat", f"{TOKEN}/token")
    cluster.delete("pod", "pythonic-inside")
    wait_until("the token to end with its pod", lambda: not authenticated(cluster, token))


def authenticated(cluster: Cluster, token: str) -> bool:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = json.loads(
        cluster.kubectl("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(review))
    )
    return bool(answer["status"].get("authenticated"))


def test_a_pod_that_wants_no_token_has_none(cluster: Cluster) -> None:
    cluster.apply(pod("tokenless", "sleep", "1000", automountServiceAccountToken=False))
    cluster.wait_ready("tokenless")
    assert cluster.exec("tokenless", "sh", "-c", f"ls {TOKEN} 2>/dev/null || echo none") == "none\n"
    cluster.delete("pod", "tokenless")


def test_the_authority_of_the_api_comes_back(cluster: Cluster) -> None:
    def there() -> bool:
        return any(one["metadata"]["name"] == "kube-root-ca.crt" for one in cluster.list("configmaps"))

    wait_until("the ConfigMap", there)
    cluster.delete("configmap", "kube-root-ca.crt")
    wait_until("the ConfigMap again", there)


@pytest.mark.parametrize("kubectl", ASKING, ids=lambda one: one.name)
def test_kubectl_makes_tokens_and_asks_what_they_may(cluster: Cluster, kubectl: Kubectl) -> None:
    def run(*arguments: str) -> str:
        return cluster.kubectl(*arguments, version=kubectl.version)

    token = run("create", "token", "default", "--duration=700s").strip()
    robot = kubeconfig_with(cluster, token)
    known = ("--kubeconfig", str(robot))
    assert run("auth", "can-i", "list", "pods", *known) == "yes\n"
    rules = run("auth", "can-i", "--list", *known)
    assert "deployments.apps" in rules
    assert "secrets" not in rules
    if kubectl.version >= (1, 28):
        assert "system:serviceaccount:default:default" in run("auth", "whoami", *known)
    assert run("auth", "can-i", "create", "pods") == "yes\n"


def kubeconfig_with(cluster: Cluster, token: str) -> Path:
    """The admin's, with the token in place of the certificate."""
    path = cluster.home / "robot.kubeconfig"
    path.write_bytes(cluster.kubeconfig.read_bytes())
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": one["name"], "user": {"token": token}} for one in config["users"]]
    path.write_text(json.dumps(config))
    return path
