"""What a pod's spec says of its beginning and its end, seen with kubectl."""

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import pod


def test_kubectl_debug_looks_into_a_container(cluster: Cluster) -> None:
    cluster.apply(pod("patient", "sleep", "4711"))
    cluster.wait_ready("patient")
    script = "cat /proc/1/cmdline | tr '\\0' ' '; echo; exit 3"
    arguments = ("debug", "patient", "--image=quickstart:1", "--target=main", "-c", "doctor", "--", "sh", "-c", script)
    cluster.kubectl(*arguments, version=(1, 33))

    def ended() -> int | None:
        statuses = cluster.get("pod", "patient")["status"].get("ephemeralContainerStatuses", [])
        states = [status["state"].get("terminated", {}).get("exitCode") for status in statuses]
        return states[0] if states else None

    assert wait_until("the debug container to end", ended) == 3
    assert cluster.kubectl("logs", "patient", "-c", "doctor").split()[:2] == ["sleep", "4711"]
    assert cluster.get("pod", "patient")["status"]["phase"] == "Running"
    cluster.delete("pod", "patient")


def test_hooks_and_the_last_word(cluster: Cluster) -> None:
    """1. what postStart made is there when the pod is ready 2. what it wrote last stands in its status."""
    post_start = {"exec": {"command": ["sh", "-c", "echo hello > /tmp/started"]}}
    script = "mkdir -p /tmp; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo enough > /dev/termination-log; exit 4"
    container = {"lifecycle": {"postStart": post_start}}
    cluster.apply(pod("mortal", "sh", "-c", script, container=container, restartPolicy="Never"))
    cluster.wait_ready("mortal")
    assert cluster.exec("mortal", "cat", "/tmp/started").strip() == "hello"
    cluster.exec("mortal", "touch", "/tmp/end")

    def last_word() -> str | None:
        (status,) = cluster.get("pod", "mortal")["status"]["containerStatuses"]
        return status["state"].get("terminated", {}).get("message")

    assert wait_until("the pod to end", last_word) == "enough\n"
    cluster.delete("pod", "mortal")
