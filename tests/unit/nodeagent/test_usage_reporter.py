"""Use over a window is the difference of two readings of the same container."""

from nodeagent.runtime.figures import ContainerStats, Usage
from nodeagent.usage_reporter import Reading, usage_between
from tests.builders import NOW


def reading(monotonic_s: float, node_cpu_ns: int, **containers_cpu_ns: int) -> Reading:
    stats = {
        name: ContainerStats(name, "uid", name, 0, NOW, Usage(cpu_ns=cpu, memory_working_set_bytes=1024))
        for name, cpu in containers_cpu_ns.items()
    }
    return Reading(NOW, monotonic_s, Usage(cpu_ns=node_cpu_ns), stats)


def test_processor_time_is_averaged_over_the_window() -> None:
    usage = usage_between(
        reading(0, 0, app=500), reading(2, 4_000_000_000, app=1_000_000_500), lambda uid: ("ns", "web")
    )
    assert usage.node.cpu_nanocores == 2_000_000_000
    assert usage.window_ms == 2000
    [pod] = usage.pods
    assert (pod.namespace, pod.name, pod.uid) == ("ns", "web", "uid")
    assert [(c.name, c.usage.cpu_nanocores) for c in pod.containers] == [("app", 500_000_000)]
    assert pod.containers[0].usage.memory_working_set_bytes == 1024


def test_a_container_that_has_just_come_is_told_of_later() -> None:
    assert not usage_between(reading(0, 0), reading(2, 0, app=7), lambda uid: ("ns", "web")).pods


def test_a_pod_that_the_node_does_not_know_is_not_told_of() -> None:
    assert not usage_between(reading(0, 0, app=1), reading(2, 0, app=7), lambda uid: None).pods
