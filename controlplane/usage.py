"""What nodes and their pods use: the newest sample of each node, in memory only. Nodeplane writes it, the API reads it.

A sample says what was true for a while some seconds ago; nothing is lost when a server restarts without it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

SAMPLE_AGE_MAX = timedelta(seconds=60)
"""An older sample says nothing about now: its node is silent."""


@dataclass(frozen=True, slots=True)
class Used:
    """Processor use averaged over the sample's window; memory as its working set at the end of it."""

    cpu_nanocores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class PodUsed:
    uid: str
    containers: Mapping[str, Used]
    """By the container's name."""


@dataclass(frozen=True, slots=True)
class NodeSample:
    sampled_at: datetime
    window: timedelta
    node: Used
    pods: Mapping[tuple[str, str], PodUsed]
    """By (namespace, name)."""


class UsageBoard:
    """Node name -> its newest sample."""

    def __init__(self) -> None:
        self._samples: dict[str, NodeSample] = {}

    def put(self, node: str, sample: NodeSample) -> None:
        self._samples[node] = sample

    def forget(self, node: str) -> None:
        self._samples.pop(node, None)

    def node(self, name: str, now: datetime) -> NodeSample | None:
        sample = self._samples.get(name)
        return sample if sample is not None and now - sample.sampled_at <= SAMPLE_AGE_MAX else None

    def nodes(self, now: datetime) -> Iterator[tuple[str, NodeSample]]:
        """In the order of their names."""
        for name in sorted(self._samples):
            if (sample := self.node(name, now)) is not None:
                yield name, sample
