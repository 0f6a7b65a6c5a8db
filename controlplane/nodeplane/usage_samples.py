"""Samples of use as agents send them, turned into those of the board."""

from datetime import UTC, datetime, timedelta

from controlplane.usage import NodeSample, PodUsed, Used
from protos import node_pb2


def sample_of(usage: node_pb2.Usage) -> NodeSample:
    return NodeSample(
        sampled_at=datetime.fromtimestamp(usage.sampled_at_unix_s, UTC),
        window=timedelta(milliseconds=usage.window_ms),
        node=_used(usage.node),
        pods={
            (pod.namespace, pod.name): PodUsed(pod.uid, {c.name: _used(c.usage) for c in pod.containers})
            for pod in usage.pods
        },
    )


def _used(usage: node_pb2.ResourceUsage) -> Used:
    return Used(usage.cpu_nanocores, usage.memory_working_set_bytes)
