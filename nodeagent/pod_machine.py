"""One pod on its node, as a state machine: `handle(event, now) -> instructions`. Pure: no clock, no I/O, no randomness.

The worker gives it every event and carries out what it returns; each instruction's outcome comes back as an event.
Events only note what happened (`_HANDLERS`, `container_machine`); what follows is then decided from the whole state
(`_advance`), so that a lost or repeated event does no harm. Invariants: no container is created outside a ready
sandbox with ready volumes; the sandbox is stopped only when nothing in it runs or is being made; once it is ending,
nothing of the pod is started; a terminal phase stays.
"""

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any

from nodeagent import container_order
from nodeagent.container_end import CONTAINER_TIMER_PREFIX, HOOK_TIMER_PREFIX, NORMAL, WARNING
from nodeagent.container_machine import ContainerMachine
from nodeagent.container_specs import container_specs
from nodeagent.container_state import Grace, Role, Stage
from nodeagent.pod_events import (
    Adopted,
    ContainerEvent,
    EndPod,
    Event,
    InputsChanged,
    PodDesired,
    PodRemoved,
    ResizeDecided,
    SandboxFailed,
    SandboxReady,
    SandboxRemoved,
    SandboxStopped,
    SizesApplied,
    TeardownFailed,
    TimerFired,
    VolumesFailed,
    VolumesReady,
    VolumesRemoved,
)
from nodeagent.pod_instructions import (
    EmitEvent,
    Instruction,
    PrepareVolumes,
    RemoveContainer,
    RemoveSandbox,
    RemoveVolumes,
    ReportStatus,
    RunSandbox,
    SetTimer,
    StopSandbox,
)
from nodeagent.pod_resize import RESIZE_TIMER, PodResize
from nodeagent.pod_status import TERMINATED_BY_NODE, Failure, age_s, is_terminal, pod_status
from nodeagent.runtime.interface import SandboxState
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStatus, PodStatus
from orch.kit.backoff import Backoff
from orch.kit.clock import Moment

RETRY_DELAY_MIN_S = 1.0
RETRY_DELAY_MAX_S = 60.0
DEFAULT_GRACE_S = 30
DEADLINE_TIMER, SANDBOX_TIMER, VOLUMES_TIMER, TEARDOWN_TIMER = "deadline", "sandbox", "volumes", "teardown"


class Step(Enum):
    """How far the sandbox, or the volumes, are."""

    ABSENT = auto()
    IN_FLIGHT = auto()
    READY = auto()
    FAILED = auto()
    """Waits for its timer."""
    STOPPING = auto()
    STOPPED = auto()
    REMOVING = auto()
    REMOVED = auto()


class Goal(Enum):
    """Only ever moves down this list."""

    RUN = auto()
    STOP = auto()
    """It came to its end; its containers stay for their logs until the pod is deleted."""
    REMOVE = auto()


class PodMachine:
    """Implements pod_status.PodView. `stored` is the status that was last reported of this pod. `pod` has, here and
    always, the sizes that are set aside for it on the node."""

    def __init__(self, pod: Pod, stored: PodStatus, host_ip: str) -> None:
        self.pod, self.status, self.host_ip = pod, stored, host_ip
        self.containers: tuple[ContainerMachine, ...] = _machines(pod)
        self.resize = PodResize(pod, stored)
        self.sandbox = self.volumes = Step.ABSENT
        self.pod_ip = ""
        self.goal = Goal.RUN
        self.failure: Failure | None = None
        self.gone = False
        """Nothing is left to do; the worker may end."""
        self._grace: Grace | None = None
        """What the whole pod has to end, once it must."""
        self._active_since_s = 0.0
        """By the steady clock."""
        self._volumes_outdated = False
        """Their sources changed while they were being made."""
        self._backoff = Backoff[str](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)
        self._reported: ReportStatus | None = None

    @property
    def sandbox_ready(self) -> bool:
        return self.sandbox is Step.READY

    @property
    def over(self) -> bool:
        return self.goal is not Goal.RUN and not self._busy()

    def handle(self, event: Event, now: Moment) -> list[Instruction]:
        if self.gone:
            return []
        handler = _HANDLERS.get(type(event), PodMachine._container_event)
        done = list(handler(self, event, now))
        return [*done, *self._advance(now), *self._report(now)]

    def container(self, name: str) -> ContainerMachine | None:
        return next((c for c in self.containers if c.name == name), None)

    # What happened.

    def _container_event(self, event: ContainerEvent, now: Moment) -> Iterator[Instruction]:
        container = self.container(event.container)
        if container is not None:
            yield from container.handle(event, now)

    def _adopted(self, event: Adopted, now: Moment) -> Iterator[Instruction]:
        if event.sandbox is not None:
            ready = event.sandbox.state is SandboxState.READY
            self.sandbox = Step.READY if ready else Step.STOPPED
            self.pod_ip = event.sandbox.ip or (self.host_ip if self.pod.spec.host_network and ready else "")
        stored = {status.name: status for status in _all_statuses(self.status)}
        for container in self.containers:
            attempts = sorted((c for c in event.containers if c.name == container.name), key=lambda c: c.attempt)
            yield from (RemoveContainer(old.name, old.attempt, old.id) for old in attempts[:-1])
            found = attempts[-1] if attempts else None
            yield from container.adopt(
                found,
                stored.get(container.name),
                message=event.messages.get(found.id, "") if found is not None else "",
                fresh_sandbox=event.sandbox is None,
                now=now,
            )
            container.size = event.sizes.get(found.id) if found is not None else None
        self.resize.adopted(self.containers)
        if is_terminal(self.status.phase):
            self.goal = Goal.STOP
            if self.status.reason:
                self.failure = Failure(self.status.reason, self.status.message or "")
        self._note_deletion(now)
        self._active_since_s = now.steady_s - age_s(self.status, now.wall)
        yield from self._set_deadline(now)

    def _desired(self, event: PodDesired, now: Moment) -> Iterator[Instruction]:
        before, limit_s = self.pod.metadata, self.pod.spec.active_deadline_seconds
        self.pod, question = self.resize.desired(self.pod, event.pod)
        yield from question
        if (before.labels, before.annotations) != (event.pod.metadata.labels, event.pod.metadata.annotations):
            self._refresh_volumes()
        self._note_deletion(now)
        if limit_s != event.pod.spec.active_deadline_seconds:
            yield from self._set_deadline(now)
        yield from self._change_specs(now)
        known = {container.name for container in self.containers}
        self.containers += tuple(c for c in _machines(event.pod) if c.role is Role.EPHEMERAL and c.name not in known)

    def _change_specs(self, now: Moment) -> Iterator[Instruction]:
        specs = {spec.name: spec for spec, _ in container_specs(self.pod)}
        for container in self.containers:
            if container.name in specs:
                yield from container.change_spec(specs[container.name], now)

    def _resize_decided(self, event: ResizeDecided, now: Moment) -> Iterator[Instruction]:
        self.pod, news = self.resize.decided(self.pod, event)
        yield from (*news, *self._change_specs(now))

    def _sizes_applied(self, event: SizesApplied, now: Moment) -> Iterator[Instruction]:
        yield from self.resize.applied(event, self.containers)

    def _removed(self, event: PodRemoved, now: Moment) -> Iterator[Instruction]:
        self.goal = Goal.REMOVE
        yield from ()

    def _end_pod(self, event: EndPod, now: Moment) -> Iterator[Instruction]:
        if self.goal is Goal.RUN:
            self.failure = Failure(event.reason, event.message, TERMINATED_BY_NODE if event.disrupts else "")
            self.goal = Goal.STOP
            yield EmitEvent(WARNING, event.reason, event.message)
        grace = Grace.of(min(event.grace_s, _grace_s(self.pod)), now)
        self._grace = grace if grace.is_shorter(self._grace) else self._grace

    def _inputs_changed(self, event: InputsChanged, now: Moment) -> Iterator[Instruction]:
        self._refresh_volumes()
        for container in self.containers:
            container.retry_now()
        yield from ()

    def _refresh_volumes(self) -> None:
        """Prepared once more, or right after the preparation that is in flight."""
        self._volumes_outdated = self.volumes is Step.IN_FLIGHT
        if self.volumes in (Step.FAILED, Step.READY):
            self.volumes = Step.ABSENT

    def _sandbox_ready(self, event: SandboxReady, now: Moment) -> Iterator[Instruction]:
        self.sandbox = Step.READY
        self.pod_ip = event.ip or (self.host_ip if self.pod.spec.host_network else "")
        self._backoff.forget(SANDBOX_TIMER)
        yield from ()

    def _sandbox_failed(self, event: SandboxFailed, now: Moment) -> Iterator[Instruction]:
        self.sandbox = Step.FAILED
        yield EmitEvent(WARNING, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {event.message}")
        yield SetTimer(SANDBOX_TIMER, self._backoff.next_s(SANDBOX_TIMER))

    def _volumes_ready(self, event: VolumesReady, now: Moment) -> Iterator[Instruction]:
        self.volumes = Step.ABSENT if self._volumes_outdated else Step.READY
        self._volumes_outdated = False
        self._backoff.forget(VOLUMES_TIMER)
        yield from ()

    def _volumes_failed(self, event: VolumesFailed, now: Moment) -> Iterator[Instruction]:
        self.volumes = Step.FAILED
        yield EmitEvent(WARNING, "FailedMount", event.message)
        yield SetTimer(VOLUMES_TIMER, self._backoff.next_s(VOLUMES_TIMER))

    def _sandbox_stopped(self, event: SandboxStopped, now: Moment) -> Iterator[Instruction]:
        self.sandbox = Step.STOPPED
        self._backoff.forget(TEARDOWN_TIMER)
        yield from ()

    def _sandbox_removed(self, event: SandboxRemoved, now: Moment) -> Iterator[Instruction]:
        """A pod that goes on gets a new one."""
        self.sandbox = Step.REMOVED if self.goal is Goal.REMOVE else Step.ABSENT
        self.pod_ip = ""
        self._backoff.forget(TEARDOWN_TIMER)
        yield from ()

    def _volumes_removed(self, event: VolumesRemoved, now: Moment) -> Iterator[Instruction]:
        self.volumes = Step.REMOVED
        yield from ()

    def _teardown_failed(self, event: TeardownFailed, now: Moment) -> Iterator[Instruction]:
        yield EmitEvent(WARNING, "FailedKillPod", event.message)
        yield SetTimer(TEARDOWN_TIMER, self._backoff.next_s(TEARDOWN_TIMER))

    def _timer(self, event: TimerFired, now: Moment) -> Iterator[Instruction]:
        if event.timer.startswith(CONTAINER_TIMER_PREFIX):
            container = self.container(event.timer.removeprefix(CONTAINER_TIMER_PREFIX))
            yield from container.timer_fired(now) if container is not None else ()
        elif event.timer.startswith(HOOK_TIMER_PREFIX):
            container = self.container(event.timer.removeprefix(HOOK_TIMER_PREFIX))
            yield from container.hook_timer_fired(now) if container is not None else ()
        elif event.timer == RESIZE_TIMER:
            self.resize.timer_fired()
        elif event.timer == SANDBOX_TIMER and self.sandbox is Step.FAILED:
            self.sandbox = Step.ABSENT
        elif event.timer == VOLUMES_TIMER and self.volumes is Step.FAILED:
            self.volumes = Step.ABSENT
        elif event.timer == TEARDOWN_TIMER:
            yield from self._tear_down_again()
        elif event.timer == DEADLINE_TIMER and self.goal is Goal.RUN:
            yield from self._past_deadline()

    def _tear_down_again(self) -> Iterator[Instruction]:
        if self.sandbox is Step.STOPPING:
            yield StopSandbox()
        elif self.sandbox is Step.REMOVING:
            yield RemoveSandbox()
        elif self.volumes is Step.REMOVING:
            yield RemoveVolumes()

    def _past_deadline(self) -> Iterator[Instruction]:
        self.failure = Failure("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        self.goal = Goal.STOP
        yield EmitEvent(NORMAL, "DeadlineExceeded", self.failure.message)

    def _set_deadline(self, now: Moment) -> Iterator[Instruction]:
        limit_s = self.pod.spec.active_deadline_seconds
        if limit_s is not None and self.goal is Goal.RUN:
            yield SetTimer(DEADLINE_TIMER, max(limit_s - (now.steady_s - self._active_since_s), 0.0))

    def _note_deletion(self, now: Moment) -> None:
        """A period that runs already is only ever made shorter."""
        if self.pod.metadata.deletion_timestamp is not None:
            self.goal = Goal.REMOVE
            grace = Grace.of(_grace_s(self.pod), now)
            self._grace = grace if grace.is_shorter(self._grace) else self._grace

    # What follows.

    def _advance(self, now: Moment) -> Iterator[Instruction]:
        if self.goal is Goal.RUN and container_order.completed(self.containers):
            self.goal = Goal.STOP
        if self.goal is Goal.RUN:
            yield from self._advance_start(now)
        else:
            yield from self._advance_stop(now)

    def _advance_start(self, now: Moment) -> Iterator[Instruction]:
        if self.sandbox is Step.STOPPED and not self._busy():
            self.sandbox = Step.REMOVING
            yield RemoveSandbox()
        if self.sandbox is Step.ABSENT:
            self.sandbox = Step.IN_FLIGHT
            yield RunSandbox()
        if self.volumes is Step.ABSENT and self.sandbox is not Step.REMOVING:
            self.volumes = Step.IN_FLIGHT
            yield PrepareVolumes()
        if self.sandbox is Step.READY and self.volumes is Step.READY:
            for container in container_order.to_start(self.containers):
                yield from container.begin()
        if self.sandbox is Step.READY:
            yield from self.resize.advance(self.containers, now)

    def _advance_stop(self, now: Moment) -> Iterator[Instruction]:
        self._grace = self._grace or Grace.of(_grace_s(self.pod), now)
        ending = container_order.to_end(self.containers)
        while any(c.stage is not Stage.FINISHED for c in ending):
            for container in ending:
                yield from container.stop(self._grace, now)
            if any(c.stage is not Stage.FINISHED for c in ending):
                break
            ending = container_order.to_end(self.containers)  # those did not run, and hold nobody up
        for container in self.containers:
            if container not in ending:
                yield from container.stop(self._grace, now, held=True)
        if self._busy() or Step.IN_FLIGHT in (self.sandbox, self.volumes):
            return
        if self.sandbox in (Step.READY, Step.FAILED, Step.ABSENT):
            self.sandbox = Step.STOPPING
            yield StopSandbox()
        elif self.sandbox is Step.STOPPED and self.goal is Goal.REMOVE:
            self.sandbox = Step.REMOVING
            yield RemoveSandbox()
        elif self.sandbox is Step.REMOVED and self.volumes not in (Step.REMOVING, Step.REMOVED):
            self.volumes = Step.REMOVING
            yield RemoveVolumes()

    def _busy(self) -> bool:
        return any(c.stage.is_busy for c in self.containers)

    def _report(self, now: Moment) -> Iterator[Instruction]:
        self.status = pod_status(self, self.status, now.wall)
        self.gone = stopped = self.volumes is Step.REMOVED
        report = ReportStatus(self.status, stopped)
        if report != self._reported:
            self._reported = report
            yield report


_HANDLERS: dict[type, Callable[[PodMachine, Any, Moment], Iterator[Instruction]]] = {
    Adopted: PodMachine._adopted,
    PodDesired: PodMachine._desired,
    PodRemoved: PodMachine._removed,
    EndPod: PodMachine._end_pod,
    InputsChanged: PodMachine._inputs_changed,
    ResizeDecided: PodMachine._resize_decided,
    SizesApplied: PodMachine._sizes_applied,
    SandboxReady: PodMachine._sandbox_ready,
    SandboxFailed: PodMachine._sandbox_failed,
    SandboxStopped: PodMachine._sandbox_stopped,
    SandboxRemoved: PodMachine._sandbox_removed,
    TeardownFailed: PodMachine._teardown_failed,
    VolumesReady: PodMachine._volumes_ready,
    VolumesFailed: PodMachine._volumes_failed,
    VolumesRemoved: PodMachine._volumes_removed,
    TimerFired: PodMachine._timer,
}


def _machines(pod: Pod) -> tuple[ContainerMachine, ...]:
    policy, grace_s = pod.spec.restart_policy or "Always", _grace_s(pod)
    return tuple(ContainerMachine(spec, role, policy, grace_s) for spec, role in container_specs(pod))


def _grace_s(pod: Pod) -> float:
    asked = pod.metadata.deletion_grace_period_seconds
    if asked is None:
        asked = pod.spec.termination_grace_period_seconds
    return float(DEFAULT_GRACE_S if asked is None else asked)


def _all_statuses(status: PodStatus) -> tuple[ContainerStatus, ...]:
    return (
        *(status.init_container_statuses or ()),
        *(status.container_statuses or ()),
        *(status.ephemeral_container_statuses or ()),
    )
