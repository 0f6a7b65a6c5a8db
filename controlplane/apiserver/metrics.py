"""The group metrics.k8s.io, as metrics-server serves it: what nodes and pods use, from the newest sample of each node.

Objects are made when they are asked for. They carry the labels of the node or pod, so that label selectors mean what
they mean there; pods that have ended, and those whose sample is of an earlier pod of that name, have no metrics.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

from controlplane.registry import failures
from controlplane.registry.interface import Listing, ListOptions, Stored
from controlplane.registry.listing import selection_of
from controlplane.store.cache import WatchCache
from controlplane.usage import NodeSample, PodUsed, UsageBoard, Used
from orch.api.kind import Kind
from orch.api.kinds import NODEMETRICS, NODES, PODS
from orch.api.meta import Object, ObjectMeta
from orch.api.metrics import ContainerMetrics, NodeMetrics, PodMetrics
from orch.api.pod.status import is_finished
from orch.kit.clock import Clock, whole_seconds

T = TypeVar("T", bound=Object)


class Metrics:
    def __init__(self, board: UsageBoard, cache: WatchCache, clock: Clock) -> None:
        self._board, self._cache, self._clock = board, cache, clock

    def get(self, kind: Kind[T], namespace: str, name: str) -> Stored[T]:
        """Raises NotFound."""
        for found in self._all(kind, namespace):
            if found.metadata.name == name:
                return _stored(kind, found)
        raise failures.not_found(kind, name)

    def list(self, kind: Kind[T], namespace: str, options: ListOptions) -> Listing[T]:
        """All on one page. Raises BadRequest for a bad selector."""
        selection = selection_of(kind, namespace, options.label_selector, options.field_selector)
        items = [_stored(kind, found) for found in self._all(kind, namespace) if selection.matches(found)]
        return Listing(items, self._cache.revision)

    def _all(self, kind: Kind[Any], namespace: str) -> Iterator[Any]:
        samples = self._board.nodes(self._clock.now())
        if kind is NODEMETRICS:
            return (self._of_node(name, sample) for name, sample in samples if self._cache.get(NODES, "", name))
        pods = sorted(
            (key, used, sample)
            for node, sample in samples
            for key, used in sample.pods.items()
            if namespace in ("", key[0]) and self._is_current(key, used, node)
        )
        return (self._of_pod(key, used, sample) for key, used, sample in pods)

    def _is_current(self, key: tuple[str, str], used: PodUsed, node: str) -> bool:
        """A node speaks of its own pods only."""
        if (stored := self._cache.get(PODS, *key)) is None:
            return False
        pod = stored.obj
        is_there = pod.metadata.uid == used.uid and pod.spec.node_name == node
        return is_there and not is_finished(pod.status)

    def _of_node(self, name: str, sample: NodeSample) -> NodeMetrics:
        return NodeMetrics(
            metadata=ObjectMeta(name=name, labels=self._labels(NODES, "", name), creation_timestamp=_now(self._clock)),
            timestamp=whole_seconds(sample.sampled_at),
            window=_duration(sample.window),
            usage=_quantities(sample.node),
        )

    def _of_pod(self, key: tuple[str, str], used: PodUsed, sample: NodeSample) -> PodMetrics:
        namespace, name = key
        labels = self._labels(PODS, namespace, name)
        return PodMetrics(
            metadata=ObjectMeta(namespace=namespace, name=name, labels=labels, creation_timestamp=_now(self._clock)),
            timestamp=whole_seconds(sample.sampled_at),
            window=_duration(sample.window),
            containers=tuple(
                ContainerMetrics(name=container, usage=_quantities(used.containers[container]))
                for container in sorted(used.containers)
            ),
        )

    def _labels(self, kind: Kind[Any], namespace: str, name: str) -> dict[str, str] | None:
        stored = self._cache.get(kind, namespace, name)
        labels: dict[str, str] | None = stored.obj.metadata.labels if stored is not None else None
        return labels


def _stored(kind: Kind[T], obj: T) -> Stored[T]:
    return Stored(obj, 0, kind.codec.encode(obj))


def _quantities(used: Used) -> dict[str, str]:
    """In metrics-server's units: nanocores and Ki."""
    return {"cpu": f"{used.cpu_nanocores}n", "memory": f"{used.memory_bytes // 1024}Ki"}


def _duration(window: timedelta) -> str:
    """As metav1.Duration is written, to the millisecond."""
    return f"{window.total_seconds():.3f}".rstrip("0").rstrip(".") + "s"


def _now(clock: Clock) -> Any:
    return whole_seconds(clock.now())
