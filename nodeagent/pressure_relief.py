"""Keeps the node going when it runs short: tells its conditions, frees what nobody needs, ends a pod if it must.

The kernel's alarm wakes it when memory runs short, and it looks at all signals every some seconds, as kubelet does;
what follows is decided in pressure.py and eviction.py. Ends one pod at a time and looks again once that is over.

What each pod stores is counted beside that, by a task of its own: a pod may make its files as many and as deep as it
likes, and must not thereby hold up the relief of the node.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from nodeagent import pressure
from nodeagent.eviction import MEMORY, PIDS, Eviction, choose, has_storage_limit, over_own_limit, refusal
from nodeagent.images.garbage import ImageGarbage
from nodeagent.pod_events import EndPod
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pressure import RESOURCES, Level, Signal, Threshold
from nodeagent.pressure_alarm import MemoryAlarm
from nodeagent.pressure_usage import EmptyDirs, use_of_disk, use_of_memory
from nodeagent.runtime.interface import Runtime
from orch.api.pod.spec import Pod
from orch.errors import OrchError
from orch.kit.clock import Clock

log = structlog.get_logger(__name__)

LOOK_PERIOD_S = 10.0
"""As kubelet's monitoringInterval."""
LOOK_PAUSE_S = 0.2
"""Between two looks, whatever the alarm says."""
POD_END_MAX_S = 30.0
"""So long an evicted pod is waited for before anything else is decided."""
COUNT_SHARE = 20
"""Counting files may take one part of so many of the time."""


class NodePods(Protocol):
    """What runs on the node: its workers."""

    def active_pods(self) -> Sequence[tuple[Pod, bool]]:
        """Pods of which something runs or will, each with whether it is static."""

    async def end_pod(self, uid: str, order: EndPod, wait_s: float) -> None:
        """Returns when nothing of it runs, or after `wait_s`."""

    async def remove_dead_containers(self) -> None:
        """Of pods that are over. Raises OrchError."""


@dataclass(frozen=True, slots=True)
class EvictionPolicy:
    thresholds: tuple[Threshold, ...]
    transition_s: float = 300.0
    max_pod_grace_s: float = 0.0
    """For soft thresholds; a pod's own grace period counts if it is shorter."""


class NodeConditions:
    """The pressures that the node is under now: shared by those who decide, tell and admit."""

    def __init__(self) -> None:
        self.current: frozenset[str] = frozenset()

    def refusal(self, pod: Pod) -> EndPod | None:
        return refusal(pod, self.current)


class PressureRelief:
    def __init__(
        self,
        *,
        policy: EvictionPolicy,
        conditions: NodeConditions,
        levels: Callable[[], Mapping[Signal, Level]],
        alarm: MemoryAlarm,
        runtime: Runtime,
        pods: NodePods,
        images: ImageGarbage,
        empty_dirs: EmptyDirs,
        tell: Callable[[EmitEvent], None],
        tell_node: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`tell_node`: the node's conditions have changed."""
        self._policy, self._conditions, self._levels, self._alarm = policy, conditions, levels, alarm
        self._runtime, self._pods, self._images, self._empty_dirs = runtime, pods, images, empty_dirs
        self._tell, self._tell_node, self._clock = tell, tell_node, clock
        self._history = pressure.History()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_node_going())
            group.create_task(self._keep_pods_within_limits())

    async def _keep_node_going(self) -> None:
        with self._alarm:
            while True:
                if not await self._tried(self.look):
                    await self._wait()

    async def _keep_pods_within_limits(self) -> None:
        while True:
            began_s = self._clock.monotonic()
            await self._tried(self.end_those_over_their_limits)
            await asyncio.sleep(max(LOOK_PERIOD_S, (self._clock.monotonic() - began_s) * COUNT_SHARE))

    async def look(self) -> bool:
        """Whether a pod was ended. Raises OrchError, OSError."""
        levels = self._levels()
        found = self._assess(levels)
        self._arm(levels)
        threshold = found.to_relieve
        if threshold is None:
            return False
        self._tell(EmitEvent("Warning", "EvictionThresholdMet", f"Attempting to reclaim {RESOURCES[threshold.signal]}"))
        if await self._reclaimed(threshold):
            return False
        return await self._evicted(threshold)

    async def _tried(self, work: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await work()
        except (OrchError, OSError) as error:
            log.warning("node_pressure_not_handled", error=str(error), next="looked at again in the next period")
            return False

    async def _wait(self) -> None:
        await asyncio.sleep(LOOK_PAUSE_S)
        try:
            async with asyncio.timeout(LOOK_PERIOD_S):
                await self._alarm.rang.wait()
        except TimeoutError:
            return
        self._alarm.rang.clear()

    def _assess(self, levels: Mapping[Signal, Level]) -> pressure.Assessment:
        policy, now_s = self._policy, self._clock.monotonic()
        found = pressure.assess(levels, policy.thresholds, self._history, policy.transition_s, now_s)
        self._history = found.history
        if found.conditions != self._conditions.current:
            log.warning("node_conditions_changed", pressures=sorted(found.conditions))
            self._conditions.current = found.conditions
            self._tell_node()
        return found

    def _arm(self, levels: Mapping[Signal, Level]) -> None:
        """The alarm fires at the first memory threshold that is not crossed yet."""
        level = levels[Signal.MEMORY]
        wanted = [t.least.of(level.capacity) for t in self._policy.thresholds if t.signal is Signal.MEMORY]
        spare = [level.available - least for least in wanted if level.available >= least]
        if spare:
            self._alarm.arm(min(spare))

    async def end_those_over_their_limits(self) -> bool:
        """Whether there were any. Raises OrchError, OSError."""
        limited = [(pod, is_static) for pod, is_static in self._pods.active_pods() if has_storage_limit(pod)]
        if not limited:
            return False
        found = over_own_limit(await use_of_disk(self._runtime, limited, self._empty_dirs))
        for eviction in found:
            await self._end(eviction)
        return bool(found)

    async def _reclaimed(self, threshold: Threshold) -> bool:
        """Whether freeing what nobody needs was enough; there is nothing such but on disks."""
        resource = RESOURCES[threshold.signal]
        if resource in (MEMORY, PIDS):
            return False
        for free in (self._pods.remove_dead_containers, self._images.remove_unused):
            await free()
            if not threshold.is_crossed(self._levels(), with_reclaim=True):
                log.info("node_pressure_relieved", resource=resource)
                return True
        return False

    async def _evicted(self, threshold: Threshold) -> bool:
        active, by_cgroup = self._pods.active_pods(), RESOURCES[threshold.signal] in (MEMORY, PIDS)
        count = (
            use_of_memory(self._runtime, active) if by_cgroup else use_of_disk(self._runtime, active, self._empty_dirs)
        )
        level = self._levels()[threshold.signal]
        eviction = choose(threshold, level, await count, max_grace_s=self._policy.max_pod_grace_s)
        if eviction is None:
            log.warning("node_pressure_stays", signal=threshold.signal, reason="no pod here may be evicted")
            return False
        await self._end(eviction)
        return True

    async def _end(self, eviction: Eviction) -> None:
        meta = eviction.pod.metadata
        log.warning("pod_evicted", pod=f"{meta.namespace}/{meta.name}", uid=meta.uid, reason=eviction.order.message)
        await self._pods.end_pod(meta.uid, eviction.order, eviction.order.grace_s + POD_END_MAX_S)
