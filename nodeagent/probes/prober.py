"""Runs the probes of containers on time and tells of every failure and when a verdict changes.

One task per container: the startup probe first, then liveness and readiness beside each other. What a probe could not
find out (the runtime did not answer) changes no verdict. A failed liveness or startup verdict is told once; the
container's end is somebody else's work, and with it these probes end.
"""

import asyncio
from collections.abc import Callable

import structlog

from nodeagent.pod_events import ProbeKind, ProbeResult
from nodeagent.pod_parts import ProbeTarget
from nodeagent.probes.checks import Outcome, check
from nodeagent.probes.http import unverified_tls
from nodeagent.probes.thresholds import Thresholds
from nodeagent.runtime.interface import Runtime, RuntimeFault
from orch.api.pod.container import Probe
from orch.kit.clock import Clock
from orch.kit.ids import Ids

log = structlog.get_logger(__name__)

PERIOD_DEFAULT_S = 10
SUCCESS_THRESHOLD_DEFAULT = 1
FAILURE_THRESHOLD_DEFAULT = 3
"""As core/v1 defaults them."""
SETTLE_S = 1.0
SETTLE_PERIOD_S = 0.1
"""In its first second a container is asked again soon: most listen some milliseconds after they start, and would
otherwise be found ready a whole period later. A bad result of that time does not count; of a liveness probe it does."""

Tell = Callable[[ProbeResult], None]


class Prober:
    """Implements the agent's `PodProbes`. Its tasks belong to `tasks`."""

    def __init__(self, runtime: Runtime, tasks: asyncio.TaskGroup, clock: Clock, ids: Ids) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._clock = clock
        self._ids = ids
        self._tls = unverified_tls()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(self, target: ProbeTarget, tell: Tell) -> None:
        """Whatever ran for the container before ends."""
        self.stop(target.pod.metadata.uid, target.container.name)
        key = (target.pod.metadata.uid, target.container.name)
        self._running[key] = self._tasks.create_task(self._watch(target, tell))

    def stop(self, pod_uid: str, container: str) -> None:
        task = self._running.pop((pod_uid, container), None)
        if task is not None:
            task.cancel()

    async def _watch(self, target: ProbeTarget, tell: Tell) -> None:
        age_s = await self._age_s(target)
        spec = target.container
        if spec.startup_probe is not None and not await self._repeat(
            ProbeKind.STARTUP, spec.startup_probe, target, tell, age_s
        ):
            return
        async with asyncio.TaskGroup() as both:
            for kind, probe in ((ProbeKind.LIVENESS, spec.liveness_probe), (ProbeKind.READINESS, spec.readiness_probe)):
                if probe is not None:
                    both.create_task(self._repeat(kind, probe, target, tell, age_s))

    async def _age_s(self, target: ProbeTarget) -> float:
        """How long the container has been running."""
        try:
            started_s = (await self._runtime.container_status(target.container_id)).started_s
        except RuntimeFault:
            started_s = None
        return self._clock.monotonic() - started_s if started_s is not None else 0.0

    async def _repeat(self, kind: ProbeKind, probe: Probe, target: ProbeTarget, tell: Tell, age_s: float) -> bool:
        """Until a verdict ends it: a good one of a startup probe (True), a bad one of startup or liveness (False)."""
        period_s = float(probe.period_seconds or PERIOD_DEFAULT_S)
        thresholds = Thresholds(
            probe.success_threshold or SUCCESS_THRESHOLD_DEFAULT, probe.failure_threshold or FAILURE_THRESHOLD_DEFAULT
        )
        settled_at = self._clock.monotonic() + (0.0 if probe.initial_delay_seconds else SETTLE_S - age_s)
        await asyncio.sleep(self._first_delay_s(probe, period_s, age_s))
        while True:
            began = self._clock.monotonic()
            outcome = await check(probe, target, self._runtime, self._tls)
            if outcome.healthy is False and kind is not ProbeKind.LIVENESS and began < settled_at:
                await asyncio.sleep(SETTLE_PERIOD_S)
                continue
            verdict = self._judge(kind, target, thresholds, outcome)
            if verdict is None and outcome.healthy is False:
                tell(ProbeResult(target.container.name, target.attempt, kind, False, outcome.message, decided=False))
            if verdict is not None:
                tell(ProbeResult(target.container.name, target.attempt, kind, verdict, outcome.message))
                if kind is ProbeKind.STARTUP or (kind is ProbeKind.LIVENESS and not verdict):
                    return verdict
            await asyncio.sleep(max(0.0, period_s - (self._clock.monotonic() - began)))

    def _first_delay_s(self, probe: Probe, period_s: float, age_s: float) -> float:
        """The rest of initialDelaySeconds. Containers found running (after a restart of the agent) are spread out."""
        rest_s = (probe.initial_delay_seconds or 0) - age_s
        if rest_s < -period_s:
            return self._ids.uniform(0.0, period_s)
        return max(0.0, rest_s)

    def _judge(self, kind: ProbeKind, target: ProbeTarget, thresholds: Thresholds, outcome: Outcome) -> bool | None:
        if outcome.healthy is None:
            log.warning(
                "probe_not_made",
                pod_uid=target.pod.metadata.uid,
                container=target.container.name,
                probe=str(kind),
                fault=outcome.message,
            )
            return None
        return thresholds.observe(outcome.healthy)
