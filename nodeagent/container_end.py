"""How a container is brought to its end: the preStop hook, within the grace period, then the stop signal. Pure.

By kubelet's rules (pkg/kubelet/kuberuntime killContainer): whatever the hook and the containers before it used up, some
seconds are left for the stop signal; readiness goes on being probed. Invariant: after `stop` nothing is started again.
"""

from collections.abc import Iterator

from nodeagent.container_state import STOP_WINDOW_MIN_S, Grace, Stage
from nodeagent.pod_events import HookEnded, HookKind, StopFailed
from nodeagent.pod_instructions import (
    EmitEvent,
    Instruction,
    RunHook,
    SetTimer,
    StartProbes,
    StopContainer,
    StopProbes,
)
from orch.api.pod.container import Container, Lifecycle, LifecycleHandler
from orch.kit.clock import Moment

STOP_RETRY_S = 1.0
NORMAL, WARNING = "Normal", "Warning"
CONTAINER_TIMER_PREFIX, HOOK_TIMER_PREFIX = "container/", "hook/"
FAILED_PRE_STOP = "FailedPreStopHook"


class EndingContainer:
    """What every stage of a container's life has in common, and the last ones."""

    def __init__(self, spec: Container, grace_s: float) -> None:
        self.spec = spec
        self.stage = Stage.WAITING
        self.attempt = 0
        """Of the container that runs or, before it is created, of the next one."""
        self.container_id = ""
        self.started = False
        self.stopping = False
        self._usual_grace_s = grace_s
        self._grace: Grace | None = None
        """What it has to end, once it must."""
        self._hook_runs = self._held = False
        """In PRE_STOP: the hook has not ended; others must stop before it gets its stop signal."""

    @property
    def name(self) -> str:
        return self.spec.name

    def stop(self, grace: Grace, now: Moment, *, held: bool = False) -> Iterator[Instruction]:
        """It must end, for good; `held`: others before it, so that only its preStop hook may begin. Called again with a
        shorter grace it hurries."""
        hurry, self.stopping = grace.is_shorter(self._grace), True
        self._held = held
        if hurry:
            self._grace = grace
        if self.stage in (Stage.WAITING, Stage.PULLING, Stage.BACKOFF):
            if not held:
                self.stage = Stage.FINISHED
        elif self.stage in (Stage.RUNNING, Stage.POST_START):
            if not held or self._has_hook(HookKind.PRE_STOP):
                yield from self._kill(f"Stopping container {self.name}", grace, now)
        elif self.stage is Stage.PRE_STOP:
            yield from self._go_on_stopping(hurry, now)
        elif self.stage is Stage.STOPPING and hurry:
            yield self._stop_instruction(now)

    def _go_on_stopping(self, hurry: bool, now: Moment) -> Iterator[Instruction]:
        if self._hook_runs and hurry:
            yield self._hook_timer(now)
        elif not self._hook_runs and not self._held:
            yield from self._signal(now)

    def hook_timer_fired(self, now: Moment) -> Iterator[Instruction]:
        """The grace period is over and the preStop hook has not ended."""
        if self.stage is Stage.PRE_STOP and self._hook_runs:
            yield from self._hook_through(now)

    def _kill(self, message: str, grace: Grace, now: Moment) -> Iterator[Instruction]:
        """The preStop hook, within the grace period, then the stop signal."""
        self._grace = grace
        if self._has_probes:
            yield self._probes_while_ending()
        yield EmitEvent(NORMAL, "Killing", message, self.name)
        if self._has_hook(HookKind.PRE_STOP) and grace.ends_at_s > now.steady_s:
            self.stage, self._hook_runs = Stage.PRE_STOP, True
            yield RunHook(self.name, self.attempt, self.container_id, HookKind.PRE_STOP)
            yield self._hook_timer(now)
        else:
            yield from self._signal(now)

    def _probes_while_ending(self) -> Instruction:
        """Whether it is ready still counts; that it lives does not."""
        if self.spec.readiness_probe is not None and self.started:
            return StartProbes(self.name, self.attempt, self.container_id, readiness_only=True)
        return StopProbes(self.name)

    def _pre_stop_ended(self, event: HookEnded, now: Moment) -> Iterator[Instruction]:
        if event.hook is not HookKind.PRE_STOP or not self._hook_runs:
            return
        if event.fault:
            yield EmitEvent(WARNING, FAILED_PRE_STOP, f"PreStopHook failed: {event.fault}", self.name)
        yield from self._hook_through(now)

    def _hook_through(self, now: Moment) -> Iterator[Instruction]:
        self._hook_runs = False
        if not self._held:
            yield from self._signal(now)

    def _signal(self, now: Moment) -> Iterator[Instruction]:
        self.stage = Stage.STOPPING
        yield self._stop_instruction(now)

    def _hook_timer(self, now: Moment) -> Instruction:
        left_s = self._own_grace(now).ends_at_s - now.steady_s
        return SetTimer(f"{HOOK_TIMER_PREFIX}{self.name}", max(left_s, 0.0))

    def _stop_instruction(self, now: Moment) -> Instruction:
        left_s = self._own_grace(now).left_s(now)
        if self._has_hook(HookKind.PRE_STOP):
            left_s = max(left_s, STOP_WINDOW_MIN_S)
        return StopContainer(self.name, self.attempt, self.container_id, left_s)

    def _own_grace(self, now: Moment) -> Grace:
        return self._grace or Grace.of(self._usual_grace_s, now)

    def _has_hook(self, hook: HookKind) -> bool:
        return handler_of(self.spec.lifecycle, hook) is not None

    @property
    def _has_probes(self) -> bool:
        return bool(self.spec.startup_probe or self.spec.liveness_probe or self.spec.readiness_probe)

    def _stop_failed(self, event: StopFailed, now: Moment) -> Iterator[Instruction]:
        yield EmitEvent(WARNING, "FailedKillPod", event.message, self.name)
        yield SetTimer(f"{CONTAINER_TIMER_PREFIX}{self.name}", STOP_RETRY_S)


def handler_of(lifecycle: Lifecycle | None, hook: HookKind) -> LifecycleHandler | None:
    if lifecycle is None:
        return None
    return lifecycle.post_start if hook is HookKind.POST_START else lifecycle.pre_stop
