"""What the node, its pods and containers use, in Prometheus' text format: kubelet's /metrics/cadvisor and
/metrics/resource, names and labels as there. Read from the kernel when asked for; nothing is kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nodeagent.runtime.figures import ContainerStats, ContainerStorage, PodStats, Usage
from nodeagent.runtime.interface import Runtime
from orch.errors import NotFound

RESOURCE, CADVISOR = "resource", "cadvisor"
T = TypeVar("T", ContainerStats, ContainerStorage)

POD_LABELS = ("namespace", "pod")
CONTAINER_LABELS = ("namespace", "pod", "container")
PRESSURE_KINDS = ("cpu", "memory", "io")

Labels = tuple[str, ...]
Names = Callable[[str], tuple[str, str] | None]
"""Pod uid -> (namespace, name); None for a pod that the node does not know."""
Counter = tuple[str, str, Callable[[Usage], float]]
"""(name without _total, help, its value in seconds, bytes or times)."""

CPU_SECONDS: Counter = ("container_cpu_usage_seconds", "Processor time used.", lambda u: u.cpu_ns / 1e9)
COUNTERS: tuple[Counter, ...] = (
    CPU_SECONDS,
    ("container_cpu_cfs_periods", "Quota periods in which it ran.", lambda u: u.cpu_periods),
    ("container_cpu_cfs_throttled_periods", "Those in which it was throttled.", lambda u: u.cpu_throttled_periods),
    ("container_cpu_cfs_throttled_seconds", "How long it was throttled.", lambda u: u.cpu_throttled_us / 1e6),
    ("container_memory_page_faults", "Page faults.", lambda u: u.page_faults),
    ("container_memory_major_page_faults", "Page faults that read the disk.", lambda u: u.major_page_faults),
)
WORKING_SET: Counter = (
    "container_memory_working_set_bytes",
    "Memory in use without what the kernel can take back at once.",
    lambda u: u.memory_working_set_bytes,
)
GAUGES: tuple[Counter, ...] = (
    WORKING_SET,
    ("container_memory_usage_bytes", "Memory in use, page cache included.", lambda u: u.memory_bytes),
    ("container_memory_rss", "Anonymous memory.", lambda u: u.memory_rss_bytes),
    ("container_threads", "Processes and threads.", lambda u: u.processes),
)
NETWORK = tuple(
    (f"container_network_{direction}_{what}", f"{short}_{field}")
    for direction, short in (("receive", "rx"), ("transmit", "tx"))
    for what, field in (
        ("bytes", "bytes"), ("packets", "packets"), ("errors", "errors"), ("packets_dropped", "dropped"),
    )
)  # fmt: skip
"""(metric, field of NetworkUsage)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading; `storage` only where it was asked for, since it counts files."""

    node: Usage
    pods: Sequence[PodStats]
    containers: Sequence[tuple[Labels, ContainerStats]]
    storage: Sequence[tuple[Labels, ContainerStorage]] = ()


class NodeMetrics:
    def __init__(self, runtime: Runtime, names: Names) -> None:
        self._runtime, self._names = runtime, names

    async def text(self, name: str) -> bytes:
        """`resource` or `cadvisor`. Raises NotFound, RuntimeFault."""
        if name not in (RESOURCE, CADVISOR):
            raise NotFound(f"there are no metrics {name!r}: ask for {RESOURCE} or {CADVISOR}")
        figures = Figures(
            node=await self._runtime.node_usage(),
            pods=await self._runtime.pod_stats(),
            containers=self._labelled(await self._runtime.container_stats()),
            storage=self._labelled(await self._runtime.container_storage()) if name == CADVISOR else (),
        )
        return exposition(resource(figures) if name == RESOURCE else cadvisor(figures))

    def _labelled(self, found: Sequence[T]) -> list[tuple[Labels, T]]:
        named = ((self._names(one.pod_uid), one) for one in found)
        return [((pod[0], pod[1], one.name), one) for pod, one in named if pod is not None]


def resource(figures: Figures) -> Iterator[Metric]:
    """kubelet's /metrics/resource."""
    node = figures.node
    yield _counter("node_cpu_usage_seconds", "Processor time used by all pods.", (), [((), node.cpu_ns / 1e9)])
    memory = [((), node.memory_working_set_bytes)]
    yield _gauge("node_memory_working_set_bytes", "Memory in use by all pods.", (), memory)
    pods = [((pod.namespace, pod.name), pod.usage) for pod in figures.pods]
    cpu = [(labels, usage.cpu_ns / 1e9) for labels, usage in pods]
    yield _counter("pod_cpu_usage_seconds", "Processor time used by the pod.", POD_LABELS, cpu)
    memory_of_pods = [(labels, usage.memory_working_set_bytes) for labels, usage in pods]
    yield _gauge("pod_memory_working_set_bytes", "Memory in use by the pod.", POD_LABELS, memory_of_pods)
    yield _of_containers(CPU_SECONDS, _counter, figures)
    yield _of_containers(WORKING_SET, _gauge, figures)


def cadvisor(figures: Figures) -> Iterator[Metric]:
    """kubelet's /metrics/cadvisor, as far as the kernel tells it."""
    for counter in COUNTERS:
        yield _of_containers(counter, _counter, figures)
    for gauge in GAUGES:
        yield _of_containers(gauge, _gauge, figures)
    yield from _pressure(figures)
    yield from _network(figures)
    layers = [(labels, one.writable_layer) for labels, one in figures.storage]
    bytes_used = [(labels, layer.used_bytes) for labels, layer in layers]
    yield _gauge("container_fs_usage_bytes", "Disk used by the writable layer.", CONTAINER_LABELS, bytes_used)
    inodes = [(labels, layer.inodes) for labels, layer in layers]
    yield _gauge("container_fs_inodes_used", "Files in the writable layer.", CONTAINER_LABELS, inodes)


def _pressure(figures: Figures) -> Iterator[Metric]:
    """waiting: some tasks waited; stalled: all did."""
    for kind in PRESSURE_KINDS:
        found = [(labels, one.usage.pressure[kind]) for labels, one in figures.containers if kind in one.usage.pressure]
        waiting = [(labels, pressure.some_us / 1e6) for labels, pressure in found]
        stalled = [(labels, pressure.full_us / 1e6) for labels, pressure in found]
        name, text = f"container_pressure_{kind}", f"Time in which tasks waited for {kind}"
        yield _counter(f"{name}_waiting_seconds", f"{text}: some of them.", CONTAINER_LABELS, waiting)
        yield _counter(f"{name}_stalled_seconds", f"{text}: all of them.", CONTAINER_LABELS, stalled)


def _network(figures: Figures) -> Iterator[Metric]:
    found = [((pod.namespace, pod.name), pod.network) for pod in figures.pods if pod.network is not None]
    for name, field in NETWORK:
        values = [(labels, getattr(network, field)) for labels, network in found]
        yield _counter(name, f"{field} of the pod's interfaces.", POD_LABELS, values)


def _of_containers(counter: Counter, make: Callable[..., Metric], figures: Figures) -> Metric:
    name, text, value = counter
    return make(name, text, CONTAINER_LABELS, [(labels, value(one.usage)) for labels, one in figures.containers])


def _counter(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _gauge(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


class _Once(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition(metrics: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(metrics))
    return generate_latest(registry)
