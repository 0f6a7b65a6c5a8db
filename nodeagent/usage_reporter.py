"""Tells the control plane, every few seconds, what the node, its pods and their containers use.

The kernel counts processor time; use over a window is the difference of two readings of the same container. A container
that was not there at the window's beginning is told of from the next window on.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from nodeagent.runtime.figures import ContainerStats, Usage
from nodeagent.runtime.interface import Runtime, RuntimeFault
from orch.kit.clock import Clock
from protos import node_pb2

log = structlog.get_logger(__name__)

PERIOD_S = 15.0
FIRST_WINDOW_S = 2.0
"""A new agent has something to tell soon."""

Names = Callable[[str], tuple[str, str] | None]
"""Pod uid -> (namespace, name); None for a pod that the node does not know."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one moment. `containers` by container id: an attempt begins at zero."""

    taken_at: datetime
    monotonic_s: float
    node: Usage
    containers: Mapping[str, ContainerStats]


class UsageReporter:
    def __init__(self, runtime: Runtime, clock: Clock, names: Names, tell: Callable[[node_pb2.Usage], None]) -> None:
        self._runtime, self._clock, self._names, self._tell = runtime, clock, names, tell

    async def run(self) -> None:
        before, window_s = await self._read(), FIRST_WINDOW_S
        while True:
            await asyncio.sleep(window_s)
            now, window_s = await self._read(), PERIOD_S
            if before is not None and now is not None:
                self._tell(usage_between(before, now, self._names))
            before = now

    async def _read(self) -> Reading | None:
        try:
            containers = await self._runtime.container_stats()
            node = await self._runtime.node_usage()
        except (RuntimeFault, OSError) as error:
            log.warning("usage_not_read", error=str(error), next="tried again in the next period")
            return None
        return Reading(self._clock.now(), self._clock.monotonic(), node, {one.container_id: one for one in containers})


def usage_between(before: Reading, now: Reading, names: Names) -> node_pb2.Usage:
    window_s = now.monotonic_s - before.monotonic_s
    pods: dict[str, list[ContainerStats]] = {}
    for one in now.containers.values():
        if one.container_id in before.containers:
            pods.setdefault(one.pod_uid, []).append(one)
    return node_pb2.Usage(
        sampled_at_unix_s=now.taken_at.timestamp(),
        window_ms=round(window_s * 1000),
        node=_used(before.node, now.node, window_s),
        pods=[
            _pod(uid, name, found, before, window_s) for uid, found in pods.items() if (name := names(uid)) is not None
        ],
    )


def _pod(
    uid: str, name: tuple[str, str], found: Sequence[ContainerStats], before: Reading, window_s: float
) -> node_pb2.PodUsage:
    containers = [
        node_pb2.ContainerUsage(
            name=one.name, usage=_used(before.containers[one.container_id].usage, one.usage, window_s)
        )
        for one in found
    ]
    return node_pb2.PodUsage(uid=uid, namespace=name[0], name=name[1], containers=containers)


def _used(before: Usage, now: Usage, window_s: float) -> node_pb2.ResourceUsage:
    return node_pb2.ResourceUsage(
        cpu_nanocores=max(0, round((now.cpu_ns - before.cpu_ns) / window_s)),
        memory_working_set_bytes=now.memory_working_set_bytes,
    )
