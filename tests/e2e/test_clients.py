"""Kubernetes' own clients against a running cluster: every kubectl found, and the Python client."""

import pytest
import yaml
from kubernetes import client, config, stream, watch

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import deployment, pod, service
from tests.kubectl import Kubectl, installed


@pytest.mark.parametrize("kubectl", installed(), ids=lambda one: one.name)
def test_kubectl_drives_a_deployment(cluster: Cluster, kubectl: Kubectl) -> None:
    """Apply, wait for the rollout, list, read logs, run a command, scale, delete."""
    name = f"web-{kubectl.version[1]}"
    manifests = yaml.safe_dump_all([deployment(name, 2, "sh", "-c", "echo hello; sleep 1000"), service(name, 80, 8080)])

    def run(*arguments: str, stdin: str = "") -> str:
        return cluster.kubectl(*arguments, stdin=stdin, version=kubectl.version)

    assert f"deployment.apps/{name} created" in run("apply", "-f", "-", stdin=manifests)
    assert "unchanged" in run("apply", "-f", "-", stdin=manifests)
    assert "successfully rolled out" in run("rollout", "status", f"deployment/{name}", "--timeout=60s")
    listing = run("get", "pods,deploy,svc,nodes", "-A")
    assert f"deployment.apps/{name}   2/2 " in listing
    (first, _) = [line for line in run("get", "pods", "-l", f"app={name}", "-o", "name").splitlines() if line]
    wait_until("the log", lambda: "hello" in run("logs", first))
    assert run("exec", first, "--", "echo", "from inside") == "from inside\n"
    run("scale", f"deployment/{name}", "--replicas=3")
    assert "successfully rolled out" in run("rollout", "status", f"deployment/{name}", "--timeout=60s")
    run("delete", "deployment,service", name, "--timeout=60s")
    wait_until("no pod left", lambda: cluster.list("pods", selector=f"app={name}") == [])


def test_the_python_client_runs_watches_and_deletes_a_pod(cluster: Cluster) -> None:
    configuration = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as connection:
        core = client.CoreV1Api(connection)
        start = core.list_namespaced_pod("default").metadata.resource_version
        core.create_namespaced_pod("default", pod("pythonic", "sh", "-c", "echo hi; sleep 1000"))
        phases = []
        for event in watch.Watch().stream(
            core.list_namespaced_pod, "default", resource_version=start, field_selector="metadata.name=pythonic",
            timeout_seconds=30,
        ):  # fmt: skip
            phases.append(event["object"].status.phase)
            if phases[-1] == "Running":
                break
        assert phases[0] == "Pending"
        assert phases[-1] == "Running"
        wait_until("the log", lambda: core.read_namespaced_pod_log("pythonic", "default") == "hi\n")
    with client.ApiClient(configuration) as connection:
        core = client.CoreV1Api(connection)
        session = stream.stream(
            core.connect_get_namespaced_pod_exec,
            "pythonic",
            "default",
            command=["hostname"],
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        session.run_forever(timeout=10)
        assert (session.read_stdout(), session.returncode) == ("pythonic\n", 0)
        session.sock.shutdown()  # the client's own close() leaves the socket open when the server was first to close
    with client.ApiClient(configuration) as connection:
        core = client.CoreV1Api(connection)
        core.delete_namespaced_pod("pythonic", "default")
        wait_until(
            "the pod to go", lambda: not core.list_namespaced_pod("default", label_selector="app=pythonic").items
        )
