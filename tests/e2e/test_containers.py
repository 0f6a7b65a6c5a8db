"""What a pod spec says is what happens: environment, files, limits, restarts, probes, exit codes, graceful stop."""

from typing import Any

from tests.e2e.cluster import ORCH, Cluster, is_ready, restarts, wait_until
from tests.e2e.pods import pod


def status_of(cluster: Cluster, name: str) -> dict[str, Any]:
    statuses = cluster.get("pod", name)["status"].get("containerStatuses", [])
    return statuses[0] if statuses else {}


def test_environment_and_configuration_reach_the_container(cluster: Cluster) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"color": "blue"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"token": "s3cret"}}
    container = {
        "env": [
            {"name": "PLAIN", "value": "a"},
            {"name": "EXPANDED", "value": "$(PLAIN)-$(NODE)"},
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        "resources": {"limits": {"cpu": "250m", "memory": "32Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "secret", "mountPath": "/secret"}],
    }
    container["env"].insert(0, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})
    volumes = [
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "keys"}},
    ]
    cluster.apply(config, secret, pod("envy", "sleep", "1000", container=container, volumes=volumes))
    running = cluster.wait_ready("envy")
    node = running["spec"]["nodeName"]
    environment = dict(line.split("=", 1) for line in cluster.exec("envy", "env").splitlines() if "=" in line)
    assert environment["COLOR"] == "blue"
    assert environment["TOKEN"] == "s3cret"
    assert environment["CPUS"] == "250"
    assert environment["EXPANDED"] == f"a-{node}"
    assert (environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]) == ("10.96.0.1", "443")
    assert cluster.exec("envy", "cat", "/config/color") == "blue"
    assert cluster.exec("envy", "cat", "/secret/token") == "s3cret"
    cluster.orch("delete", "pod/envy", "configmap/settings", "secret/keys")


def test_a_crashing_container_is_restarted_with_back_off(cluster: Cluster) -> None:
    cluster.apply(pod("crash", "sh", "-c", "echo bye; exit 3"))
    wait_until("two restarts", lambda: restarts(cluster.get("pod", "crash")) >= 2)
    status = status_of(cluster, "crash")
    assert status["lastState"]["terminated"]["exitCode"] == 3
    wait_until("back-off", lambda: "CrashLoopBackOff" in cluster.orch("get", "pod", "crash"))
    assert "bye" in cluster.orch("logs", "crash", "--previous")
    cluster.delete("pod", "crash")


def test_memory_limit_kills_and_says_so(cluster: Cluster) -> None:
    hog = pod(
        "hog", "sh", "-c", "x=a; while true; do x=$x$x; done", restartPolicy="Never",
        container={"resources": {"limits": {"memory": "16Mi"}}},
    )  # fmt: skip
    cluster.apply(hog)
    wait_until("the pod to fail", lambda: cluster.get("pod", "hog")["status"].get("phase") == "Failed")
    terminated = status_of(cluster, "hog")["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)
    cluster.delete("pod", "hog")


def test_a_pod_that_ends_well_has_succeeded(cluster: Cluster) -> None:
    cluster.apply(pod("job", "sh", "-c", "echo done", restartPolicy="Never"))
    wait_until("the pod to succeed", lambda: cluster.get("pod", "job")["status"].get("phase") == "Succeeded")
    assert cluster.orch("logs", "job") == "done\n"
    cluster.delete("pod", "job")


def test_liveness_restarts_and_readiness_holds_back(cluster: Cluster) -> None:
    live = {
        "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    }
    ready = {"readinessProbe": {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1}}
    cluster.apply(
        pod("alive", "sh", "-c", "mkdir -p /tmp; touch /tmp/ok; sleep 3; rm /tmp/ok; sleep 1000", container=live),
        pod("later", "sleep", "1000", container=ready),
    )
    wait_until("a restart by the liveness probe", lambda: restarts(cluster.get("pod", "alive")) >= 1)
    wait_until("the container to run", lambda: status_of(cluster, "later").get("state", {}).get("running"))
    assert not is_ready(cluster.get("pod", "later"))
    cluster.exec("later", "touch", "/ready")
    cluster.wait_ready("later")
    cluster.delete("pod", "alive", "later")


def test_a_graceful_stop_lets_the_container_finish(cluster: Cluster) -> None:
    script = "trap 'echo stopping; exit 0' TERM; echo ready; while true; do sleep 0.1; done"
    cluster.apply(pod("polite", "sh", "-c", script, terminationGracePeriodSeconds=20))
    cluster.wait_ready("polite")
    wait_until("the trap to be set", lambda: "ready" in cluster.orch("logs", "polite"))
    cluster.orch("delete", "pod", "polite", "--timeout", "10s")


def test_a_missing_image_is_named(cluster: Cluster) -> None:
    cluster.apply(pod("lost", container={"image": "no-such-image:1"}))
    wait_until("the pull to fail", lambda: "ImagePull" in cluster.orch("get", "pod", "lost"))
    waiting = wait_until("the reason", lambda: status_of(cluster, "lost")["state"].get("waiting"))
    assert "no-such-image:1" in waiting["message"]
    cluster.delete("pod", "lost")


def test_a_pod_that_fits_nowhere_says_why_and_runs_when_it_fits(cluster: Cluster) -> None:
    cluster.apply(pod("picky", "sleep", "1000", nodeSelector={"disk": "fast"}))
    why = wait_until("an event", lambda: cluster.orch("events", "--for", "pod/picky"))
    assert "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector" in why
    cluster.kubectl("label", "node", "node-2", "disk=fast")
    running = cluster.wait_ready("picky")
    assert running["spec"]["nodeName"] == "node-2"
    cluster.kubectl("label", "node", "node-2", "disk-")
    cluster.delete("pod", "picky")


def test_exec_passes_input_output_and_exit_code(cluster: Cluster) -> None:
    cluster.apply(pod("shell", "sleep", "1000"))
    cluster.wait_ready("shell")
    assert cluster.orch("exec", "-i", "shell", "--", "cat", stdin="through\n") == "through\n"
    done = cluster.run([ORCH, "exec", "shell", "--", "sh", "-c", "exit 7"], check=False)
    assert done.returncode == 7
    cluster.delete("pod", "shell")
