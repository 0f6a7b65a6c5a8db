"""Kubernetes' own Python client against a running cluster."""

from kubernetes import client, config, stream, watch

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import pod


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
