"""One container of a pod, as a state machine. Pure: no clock, no I/O; time is an argument.

    WAITING > PULLING > CREATING > STARTING (> POST_START) > RUNNING > (exit) > FINISHED
                 ^                                                      |
                 +---------------- BACKOFF <-- restart -----------------+      RUNNING (> PRE_STOP) > STOPPING > (exit)

The pod machine says when a container's turn has come (`begin`) and when it must end (`stop`). Invariants: at most one
operation on a container is in flight; an attempt number is used once; after `stop` nothing of it is started again.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from nodeagent.container_end import CONTAINER_TIMER_PREFIX, NORMAL, WARNING, EndingContainer
from nodeagent.container_state import (
    EXIT_CODE_LOST,
    Grace,
    Role,
    Run,
    Stage,
    exit_event,
    restart_policy_of,
)
from nodeagent.pod_events import (
    ContainerCreated,
    ContainerEvent,
    ContainerExited,
    ContainerStarted,
    CreateFailed,
    HookEnded,
    HookKind,
    ImageFailed,
    ImageReady,
    ProbeKind,
    ProbeResult,
    StartFailed,
    StopFailed,
)
from nodeagent.pod_instructions import (
    CreateContainer,
    EmitEvent,
    Instruction,
    PullImage,
    RemoveContainer,
    RunHook,
    SetTimer,
    StartContainer,
    StartProbes,
    StopProbes,
)
from nodeagent.restart_backoff import RestartBackoff
from nodeagent.runtime.interface import ContainerState, ContainerStatus
from orch.api.pod.container import Container
from orch.api.pod.status import ContainerStatus as StoredStatus
from orch.api.shared import ResourceRequirements
from orch.kit.backoff import Backoff
from orch.kit.clock import Moment

RETRY_DELAY_MIN_S = 1.0
RETRY_DELAY_MAX_S = 60.0
EXIT_CODE_START_ERROR = 128
FAILED_POST_START = "FailedPostStartHook"


class ContainerMachine(EndingContainer):
    def __init__(self, spec: Container, role: Role, restart_policy: str, grace_s: float) -> None:
        """`grace_s`: how long it has to end when a probe or a changed spec stops it."""
        super().__init__(spec, grace_s)
        self.role = role
        self._restart_policy = restart_policy_of(role, restart_policy)
        self.image_id = self.image_reference = self.image_name = ""
        self._made_from = ""
        """The image by its name in the spec, from the moment on when the container is made."""
        self.size: ResourceRequirements | None = None
        """The requests and limits that its cgroup amounts to; None: it has none yet."""
        self.started_at: datetime | None = None
        self._runs_since_s: float | None = None
        """By the steady clock."""
        self.ready = False
        self.was_started = False
        """Of this or an earlier run: the containers after it may go on."""
        self.last: Run | None = None
        self.previous: Run | None = None
        """The run before `last`."""
        self.waiting_reason = self.waiting_message = ""
        """Why it waits, beyond its turn not having come."""
        self._replace = False
        """Its spec changed: it restarts whatever the policy says."""
        self._restarts = RestartBackoff()
        self._backoff = Backoff[str](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)

    @property
    def restart_count(self) -> int:
        if self.stage.is_shown_running:
            return self.attempt
        return self.last.attempt if self.last else 0

    @property
    def succeeded(self) -> bool:
        return self.stage is Stage.FINISHED and self.last is not None and self.last.exit_code == 0

    @property
    def _image(self) -> str:
        return self.spec.image or ""

    def handle(self, event: ContainerEvent, now: Moment) -> list[Instruction]:
        """Answers to what is no longer asked (another attempt, another image, a stage that is over) change nothing."""
        transition = _TRANSITIONS.get((self.stage, type(event)))
        if transition is None or self._is_stale(event):
            return []
        return list(transition(self, event, now))

    def begin(self) -> Iterator[Instruction]:
        """Its turn has come: only the pod machine says so, since only it knows of sandbox, volumes and the others."""
        self.stage = Stage.PULLING
        yield PullImage(self.name, self._image)

    def timer_fired(self, now: Moment) -> Iterator[Instruction]:
        if self.stage is Stage.BACKOFF:
            self.stage = Stage.WAITING
        elif self.stage is Stage.STOPPING:
            yield self._stop_instruction(now)

    def retry_now(self) -> None:
        """What it failed on may have changed; a crash loop goes on waiting."""
        if self.stage is Stage.BACKOFF and self.waiting_reason != "CrashLoopBackOff":
            self.stage = Stage.WAITING

    def change_spec(self, spec: Container, now: Moment) -> Iterator[Instruction]:
        """A running container whose image changed is replaced (the only field of it that an update may change);
        one that is just being made, as soon as it runs."""
        image_changed, self.spec = spec.image != self.spec.image, spec
        if not image_changed or self.stopping:
            return
        self._restarts.forget()
        if self.stage in (Stage.PULLING, Stage.BACKOFF):
            self.stage = Stage.WAITING
        elif self.stage in (Stage.RUNNING, Stage.POST_START):
            yield from self._restart_changed(now)

    def _restart_changed(self, now: Moment) -> Iterator[Instruction]:
        yield from self.restart(f"Container {self.name} definition changed, will be restarted", now)

    def restart(self, why: str, now: Moment) -> Iterator[Instruction]:
        """One that runs, whatever the policy says, and without back-off."""
        self._replace = True
        yield from self._kill(why, Grace.of(self._usual_grace_s, now), now)

    def adopt(
        self,
        found: ContainerStatus | None,
        stored: StoredStatus | None,
        *,
        message: str,
        fresh_sandbox: bool,
        now: Moment,
    ) -> Iterator[Instruction]:
        """Takes over what an earlier agent left: the runtime's container, with the termination message of one that has
        ended, and the status that was last reported."""
        self._restore(stored)
        if found is not None:
            self.attempt, self.container_id, self.image_id = found.attempt, found.id, found.image_id
            self._made_from = found.image or self._image  # a record of an earlier version does not say
            yield from self._adopt_found(found, stored, message, now)
        elif stored is not None and stored.state.running is not None:
            self._end(Run(self.attempt, self.container_id, EXIT_CODE_LOST, "ContainerStatusUnknown",
                          stored.state.running.started_at, now.wall, "The container could not be located"))  # fmt: skip
            self._settle(fresh_sandbox)
        elif self.last is not None:
            self._settle(fresh_sandbox)

    def _restore(self, stored: StoredStatus | None) -> None:
        if stored is None:
            return
        self.attempt = stored.restart_count
        self.container_id = (stored.container_id or "").rpartition("//")[2]
        self.image_name, self.image_reference = stored.image, stored.image_id
        self.ready, self.started = stored.ready, bool(stored.started)
        self.was_started = self.started
        ended = stored.state.terminated or stored.last_state.terminated
        if ended is not None:
            attempt = stored.restart_count - (1 if stored.state.running is not None else 0)
            self.last = Run(attempt, (ended.container_id or "").rpartition("//")[2], ended.exit_code,
                            ended.reason or "", ended.started_at, ended.finished_at, ended.message or "")  # fmt: skip

    def _adopt_found(
        self, found: ContainerStatus, stored: StoredStatus | None, message: str, now: Moment
    ) -> Iterator[Instruction]:
        same = stored is not None and (stored.container_id or "").endswith(found.id)
        if not same:
            self.ready = self.started = False
        if found.state is ContainerState.CREATED:
            self.stage = Stage.STARTING
            yield StartContainer(self.name, self.attempt, found.id)
        elif found.state is ContainerState.RUNNING:
            self.started_at, self._runs_since_s = found.started_at, found.started_s
            yield from (
                self._process_runs(adopted=same) if self._made_from == self._image else self._restart_changed(now)
            )
        elif self.last is not None and self.last.attempt == found.attempt:
            self._settle(fresh_sandbox=False)
        else:
            self.stage = Stage.RUNNING
            yield from self._exited(exit_event(found, now.wall, message), now)

    def _settle(self, fresh_sandbox: bool) -> None:
        """After its last run: whether it gets another turn. A new sandbox runs the init containers again."""
        assert self.last is not None
        again = fresh_sandbox and self.role is Role.INIT
        self.ready = self.started = False
        if again or self._wants_restart(self.last.exit_code):
            self.attempt = self.last.attempt + 1
            self.stage = Stage.WAITING
        else:
            self.stage = Stage.FINISHED

    def _is_stale(self, event: ContainerEvent) -> bool:
        if isinstance(event, ImageReady | ImageFailed):
            return event.image != self._image
        return event.attempt != self.attempt

    def _image_ready(self, event: ImageReady, now: Moment) -> Iterator[Instruction]:
        self.image_id, self.image_reference, self.image_name = event.image_id, event.reference, event.name
        self._made_from = event.image
        self._backoff.forget("image")
        self.stage = Stage.CREATING
        yield CreateContainer(self.name, self.attempt, event.image, event.image_id)

    def _image_failed(self, event: ImageFailed, now: Moment) -> Iterator[Instruction]:
        again = self.waiting_reason in (event.reason, "ImagePullBackOff")
        reason, message = event.reason, event.message
        if again and event.reason == "ErrImagePull":
            reason, message = "ImagePullBackOff", f'Back-off pulling image "{event.image}": {event.message}'
        yield EmitEvent(WARNING, "Failed", f"Error: {reason}", self.name)
        yield EmitEvent(WARNING, "Failed", f'Failed to pull image "{event.image}": {event.message}', self.name)
        yield self._wait(reason, message, self._backoff.next_s("image"))

    def _created(self, event: ContainerCreated, now: Moment) -> Iterator[Instruction]:
        self.container_id, self.size = event.container_id, event.size
        self._backoff.forget("create")
        if self.stopping:
            self.stage = Stage.FINISHED
            return
        yield EmitEvent(NORMAL, "Created", f"Created container: {self.name}", self.name)
        self.stage = Stage.STARTING
        yield StartContainer(self.name, self.attempt, event.container_id)

    def _create_failed(self, event: CreateFailed, now: Moment) -> Iterator[Instruction]:
        if self.stopping:
            self.stage = Stage.FINISHED
            return
        yield EmitEvent(WARNING, "Failed", f"Error: {event.message}", self.name)
        yield self._wait(event.reason, event.message, self._backoff.next_s("create"))

    def _started(self, event: ContainerStarted, now: Moment) -> Iterator[Instruction]:
        self.started_at, self._runs_since_s = event.started_at, now.steady_s
        yield EmitEvent(NORMAL, "Started", f"Started container {self.name}", self.name)
        if self.last is not None and self.last.container_id:
            yield RemoveContainer(self.name, self.last.attempt, self.last.container_id)
        if self.stopping:
            self.stage = Stage.RUNNING
            yield from self._kill(f"Stopping container {self.name}", self._own_grace(now), now)
        elif self._made_from != self._image:
            yield from self._restart_changed(now)
        else:
            yield from self._process_runs(adopted=False)

    def _process_runs(self, *, adopted: bool) -> Iterator[Instruction]:
        """It counts as running once its postStart hook has ended. One that nobody saw running gets it again."""
        if not adopted and self._has_hook(HookKind.POST_START):
            self.stage = Stage.POST_START
            yield RunHook(self.name, self.attempt, self.container_id, HookKind.POST_START)
        else:
            self.stage = Stage.RUNNING
            self.waiting_reason = self.waiting_message = ""
            yield from self._observe(keep_verdicts=adopted)

    def _post_start_ended(self, event: HookEnded, now: Moment) -> Iterator[Instruction]:
        if event.hook is not HookKind.POST_START:
            return
        self.stage = Stage.RUNNING
        self.waiting_reason = self.waiting_message = ""
        if event.fault:
            yield EmitEvent(WARNING, FAILED_POST_START, f"PostStartHook failed: {event.fault}", self.name)
            yield from self._kill(FAILED_POST_START, self._own_grace(now), now)
        else:
            yield from self._observe(keep_verdicts=False)

    def _observe(self, *, keep_verdicts: bool) -> Iterator[Instruction]:
        """Probes from now on; what has no probe holds at once. An adopted container keeps the verdicts it had."""
        if not keep_verdicts:
            self.started = self.spec.startup_probe is None
            self.ready = self.started and self.spec.readiness_probe is None
        self.was_started |= self.started
        if self._has_probes:
            yield StartProbes(self.name, self.attempt, self.container_id)

    def _start_failed(self, event: StartFailed, now: Moment) -> Iterator[Instruction]:
        yield EmitEvent(WARNING, "Failed", f"Error: {event.message}", self.name)
        yield RemoveContainer(self.name, self.attempt, self.container_id)
        run = Run(self.attempt, "", EXIT_CODE_START_ERROR, "StartError", None, now.wall, event.message)
        yield from self._ended(run, now)

    def _exited(self, event: ContainerExited, now: Moment) -> Iterator[Instruction]:
        reason = "OOMKilled" if event.oom_killed else "Completed" if event.exit_code == 0 else "Error"
        if event.lost:
            reason = "ContainerStatusUnknown"
        started_at = event.started_at or self.started_at
        ran_s = now.steady_s - self._runs_since_s if self._runs_since_s is not None else None
        run = Run(self.attempt, self.container_id, event.exit_code, reason, started_at, event.finished_at,
                  event.message, ran_s)  # fmt: skip
        if self.stage.is_shown_running and self._has_probes:
            yield StopProbes(self.name)
        yield from self._ended(run, now)

    def _ended(self, run: Run, now: Moment) -> Iterator[Instruction]:
        self._end(run)
        if self.stopping or not (self._replace or self._wants_restart(run.exit_code)):
            self.stage = Stage.FINISHED
            return
        self.attempt += 1
        delay_s = 0.0 if self._replace else self._restarts.delay_s(run)
        self._replace = False
        if not delay_s:
            self.stage = Stage.WAITING
            return
        yield EmitEvent(WARNING, "BackOff", f"Back-off restarting failed container {self.name}", self.name)
        message = f"back-off {delay_s:g}s restarting failed container={self.name}"
        yield self._wait("CrashLoopBackOff", message, delay_s)

    def _end(self, run: Run) -> None:
        self.previous, self.last = self.last, run
        self.ready = self.started = False
        self.started_at = self._runs_since_s = None
        self.waiting_reason = self.waiting_message = ""
        self._hook_runs = False
        if not self.stopping:
            self._grace = None

    def _wants_restart(self, exit_code: int) -> bool:
        return self._restart_policy == "Always" or (self._restart_policy == "OnFailure" and exit_code != 0)

    def _wait(self, reason: str, message: str, delay_s: float) -> Instruction:
        self.stage = Stage.BACKOFF
        self.waiting_reason, self.waiting_message = reason, message
        return SetTimer(f"{CONTAINER_TIMER_PREFIX}{self.name}", delay_s)

    def _probed(self, event: ProbeResult, now: Moment) -> Iterator[Instruction]:
        if event.probe is not ProbeKind.READINESS and self.stage is not Stage.RUNNING:
            return
        if not event.healthy:
            text = f"{event.probe.capitalize()} probe failed: {event.message}"
            yield EmitEvent(WARNING, "Unhealthy", text, self.name)
        if not event.decided:
            return
        if event.probe is ProbeKind.READINESS:
            self.ready = event.healthy and self.started
        elif not event.healthy:
            message = f"Container {self.name} failed {event.probe} probe, will be restarted"
            yield from self._kill(message, Grace.of(self._probe_grace_s(event.probe), now), now)
        elif event.probe is ProbeKind.STARTUP:
            self.started = self.was_started = True
            self.ready = self.spec.readiness_probe is None

    def _probe_grace_s(self, probe: ProbeKind) -> float:
        spec = self.spec.liveness_probe if probe is ProbeKind.LIVENESS else self.spec.startup_probe
        own = spec.termination_grace_period_seconds if spec is not None else None
        return self._usual_grace_s if own is None else float(own)


_TRANSITIONS: dict[tuple[Stage, type], Callable[[ContainerMachine, Any, Moment], Iterator[Instruction]]] = {
    (Stage.PULLING, ImageReady): ContainerMachine._image_ready,
    (Stage.PULLING, ImageFailed): ContainerMachine._image_failed,
    (Stage.CREATING, ContainerCreated): ContainerMachine._created,
    (Stage.CREATING, CreateFailed): ContainerMachine._create_failed,
    (Stage.STARTING, ContainerStarted): ContainerMachine._started,
    (Stage.STARTING, StartFailed): ContainerMachine._start_failed,
    (Stage.STARTING, ContainerExited): ContainerMachine._exited,  # it ended before the answer that it began
    (Stage.POST_START, HookEnded): ContainerMachine._post_start_ended,
    (Stage.POST_START, ContainerExited): ContainerMachine._exited,
    (Stage.RUNNING, ContainerExited): ContainerMachine._exited,
    (Stage.RUNNING, ProbeResult): ContainerMachine._probed,
    (Stage.PRE_STOP, HookEnded): ContainerMachine._pre_stop_ended,
    (Stage.PRE_STOP, ContainerExited): ContainerMachine._exited,
    (Stage.PRE_STOP, ProbeResult): ContainerMachine._probed,
    (Stage.STOPPING, ContainerExited): ContainerMachine._exited,
    (Stage.STOPPING, ProbeResult): ContainerMachine._probed,
    (Stage.STOPPING, StopFailed): ContainerMachine._stop_failed,
}
