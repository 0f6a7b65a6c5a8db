"""The status of a pod, as Kubernetes writes it, from the state of its machine. Pure.

Rules follow kubelet (pkg/kubelet/kubelet_pods.go getPhase, pkg/kubelet/status/generate.go). Transition times are kept
from the status before wherever a condition's status did not change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nodeagent.container_machine import ContainerMachine
from nodeagent.container_state import Role, Run, Stage
from nodeagent.pod_resize import PodResize
from orch.api.pod.spec import Pod
from orch.api.pod.status import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    HostIP,
    PodCondition,
    PodIP,
    PodStatus,
)
from orch.api.shared import ResourceRequirements
from orch.kit.clock import whole_seconds

SIGNAL_EXIT_BASE = 128
SIGNAL_MAX = 64
POD_MESSAGE_BYTES_MAX = 12 * 1024
"""Of all termination messages of a pod; each container has an equal part (kubelet's normalizeStatus)."""
CONTAINER_ID_SCHEME = "crun://"
INIT_ROLES = (Role.INIT, Role.SIDECAR)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the whole pod has failed, whatever its containers did."""

    reason: str
    message: str
    disruption: str = ""
    """Reason of the condition DisruptionTarget; empty: it is not to blame on the node."""


TERMINATED_BY_NODE = "TerminationByKubelet"


class PodView(Protocol):
    """What the status is made of: the pod machine's state."""

    pod: Pod
    host_ip: str
    pod_ip: str
    failure: Failure | None

    resize: PodResize

    @property
    def containers(self) -> Sequence[ContainerMachine]: ...

    @property
    def sandbox_ready(self) -> bool: ...

    @property
    def over(self) -> bool:
        """Nothing of it runs or will run again."""


def is_terminal(phase: str | None) -> bool:
    return phase in ("Succeeded", "Failed")


def age_s(status: PodStatus, now: datetime) -> float:
    """Of a pod that an earlier agent, before a reboot maybe, started: only the wall clock can tell."""
    return max((now - status.start_time).total_seconds(), 0.0) if status.start_time else 0.0


def pod_status(view: PodView, before: PodStatus, now: datetime) -> PodStatus:
    """`before` is the status that this one follows; its terminal phase, start time and transition times stay."""
    now = whole_seconds(now)
    room = POD_MESSAGE_BYTES_MAX // max(len(view.containers), 1)
    init = [c for c in view.containers if c.role in INIT_ROLES]
    ephemeral = [c for c in view.containers if c.role is Role.EPHEMERAL]
    main = [c for c in view.containers if c.role is Role.MAIN]
    phase = before.phase if is_terminal(before.phase) else pod_phase(view)
    return PodStatus(
        phase=phase,
        reason=view.failure.reason if view.failure and phase == "Failed" else None,
        message=view.failure.message if view.failure and phase == "Failed" else None,
        conditions=_conditions(view, phase or "", before, now),
        container_statuses=tuple(
            container_status(c, before.container_statuses, _idle_reason(view), room) for c in main
        ),
        init_container_statuses=tuple(
            container_status(c, before.init_container_statuses, "PodInitializing", room) for c in init
        )
        or None,
        ephemeral_container_statuses=tuple(
            container_status(c, before.ephemeral_container_statuses, _idle_reason(view), room) for c in ephemeral
        )
        or None,
        host_ip=view.host_ip or None,
        host_ips=(HostIP(ip=view.host_ip),) if view.host_ip else None,
        pod_ip=view.pod_ip or None,
        pod_ips=(PodIP(ip=view.pod_ip),) if view.pod_ip else None,
        qos_class=before.qos_class,
        start_time=before.start_time or now,
        observed_generation=view.pod.metadata.generation,
    )


def pod_phase(view: PodView) -> str:
    """Terminal only when nothing of the pod runs any more, sidecars too: others take it as leave to replace the pod."""
    main = [c for c in view.containers if c.role is Role.MAIN]
    if view.over:
        return "Succeeded" if view.failure is None and all(c.succeeded for c in main) else "Failed"
    if not initialized(view.containers) or any(_never_started(c) for c in main):
        return "Pending"
    return "Running"


def initialized(containers: Sequence[ContainerMachine]) -> bool:
    return all(is_past(c) for c in containers if c.role in INIT_ROLES)


def is_past(container: ContainerMachine) -> bool:
    """Whether an init container lets the next one begin: it succeeded or, as a sidecar, has started."""
    return container.was_started if container.role is Role.SIDECAR else container.succeeded


def _never_started(container: ContainerMachine) -> bool:
    return not container.stage.is_shown_running and container.last is None


def _idle_reason(view: PodView) -> str:
    return "ContainerCreating" if initialized(view.containers) else "PodInitializing"


def container_status(
    container: ContainerMachine, before: Sequence[ContainerStatus] | None, idle_reason: str, message_bytes_max: int
) -> ContainerStatus:
    ended = container.last
    state, last = _state(container, idle_reason, message_bytes_max)
    known = next((status for status in before or () if status.name == container.name), ContainerStatus())
    running = state.running is not None
    shown_id = container.container_id if running or ended is None else ended.container_id
    return ContainerStatus(
        name=container.name,
        image=(container.image_name if running or ended else "") or known.image or container.spec.image or "",
        image_id=(container.image_reference if running or ended else "") or known.image_id,
        container_id=CONTAINER_ID_SCHEME + shown_id if shown_id and (running or ended) else None,
        ready=_is_ready(container),
        started=container.started and running,
        restart_count=container.restart_count,
        state=state,
        last_state=last,
        allocated_resources=container.spec.resources.requests or None,
        resources=_size(container) if running else _given(container.spec.resources),
        stop_signal=(container.spec.lifecycle.stop_signal if container.spec.lifecycle else None) or None,
    )


def _size(container: ContainerMachine) -> ResourceRequirements | None:
    return _given(container.size or container.spec.resources)


def _given(resources: ResourceRequirements) -> ResourceRequirements | None:
    return None if resources == ResourceRequirements() else resources


def _is_ready(container: ContainerMachine) -> bool:
    """An init container is ready once it succeeded; all others while they run and their probes say so."""
    if container.role is Role.INIT:
        return container.succeeded
    return container.stage.is_shown_running and container.ready


def _state(
    container: ContainerMachine, idle_reason: str, message_bytes_max: int
) -> tuple[ContainerState, ContainerState]:
    """(state, lastState). Between a run's end and the next start the ended run is the state, unless it backs off."""
    ended = _terminated(container.last, message_bytes_max)
    if container.stage.is_shown_running:
        started_at = whole_seconds(container.started_at) if container.started_at else None
        return ContainerState(running=ContainerStateRunning(started_at=started_at)), ended
    if container.waiting_reason and container.stage is not Stage.FINISHED:
        waiting = ContainerStateWaiting(reason=container.waiting_reason, message=container.waiting_message or None)
        return ContainerState(waiting=waiting), ended
    if container.last is None:
        return ContainerState(waiting=ContainerStateWaiting(reason=idle_reason)), ContainerState()
    return ended, _terminated(container.previous, message_bytes_max)


def _terminated(run: Run | None, message_bytes_max: int) -> ContainerState:
    if run is None:
        return ContainerState()
    signal = run.exit_code - SIGNAL_EXIT_BASE
    return ContainerState(
        terminated=ContainerStateTerminated(
            container_id=CONTAINER_ID_SCHEME + run.container_id if run.container_id else None,
            exit_code=run.exit_code,
            signal=signal if 0 < signal <= SIGNAL_MAX and run.reason != "ContainerStatusUnknown" else None,
            reason=run.reason or None,
            message=run.message.encode()[:message_bytes_max].decode(errors="ignore") or None,
            started_at=whole_seconds(run.started_at) if run.started_at else None,
            finished_at=whole_seconds(run.finished_at) if run.finished_at else None,
        )
    )


def _conditions(view: PodView, phase: str, before: PodStatus, now: datetime) -> tuple[PodCondition, ...]:
    init_waiting = [c.name for c in view.containers if c.role in INIT_ROLES and not is_past(c)]
    unready = [c.name for c in view.containers if c.role in (Role.MAIN, Role.SIDECAR) and not _is_ready(c)]
    completed = "PodCompleted" if phase == "Succeeded" else "PodFailed" if phase == "Failed" else ""
    ready = _verdict(
        "ContainersReady", unready, "ContainersNotReady", "containers with unready status: [{}]", completed
    )
    done = phase == "Succeeded"
    wanted = (
        PodCondition(type="PodReadyToStartContainers", status=str(view.sandbox_ready)),
        _verdict("Initialized", [] if done else init_waiting, "ContainersNotInitialized",
                 "containers with incomplete status: [{}]", "PodCompleted" if done else ""),
        _with_gates(view.pod, before, ready),
        ready,
        PodCondition(type="PodScheduled", status="True"),
        *_disruption(view.failure),
        *(() if is_terminal(phase) else view.resize.conditions()),
    )  # fmt: skip
    known = {condition.type: condition for condition in before.conditions or ()}
    return tuple(
        _timed(condition, known.get(condition.type), now, view.pod.metadata.generation) for condition in wanted
    )


def _disruption(failure: Failure | None) -> tuple[PodCondition, ...]:
    if failure is None or not failure.disruption:
        return ()
    condition = PodCondition(type="DisruptionTarget", status="True", reason=failure.disruption, message=failure.message)
    return (condition,)


def _verdict(type_: str, missing: list[str], reason: str, message: str, completed: str) -> PodCondition:
    if completed and (missing or type_ == "Initialized"):
        return PodCondition(type=type_, status=str(not missing), reason=completed)
    if missing:
        return PodCondition(type=type_, status="False", reason=reason, message=message.format(" ".join(missing)))
    return PodCondition(type=type_, status="True")


def _with_gates(pod: Pod, before: PodStatus, containers_ready: PodCondition) -> PodCondition:
    """Ready: the containers are, and every readiness gate's condition is True."""
    ready = PodCondition(
        type="Ready",
        status=containers_ready.status,
        reason=containers_ready.reason,
        message=containers_ready.message,
    )
    true = {c.type for c in (*(before.conditions or ()), *(pod.status.conditions or ())) if c.status == "True"}
    closed = [gate.condition_type for gate in pod.spec.readiness_gates or () if gate.condition_type not in true]
    if ready.status == "True" and closed:
        message = f'the status of pod readiness gate "{closed[0]}" is not "True", but False'
        return PodCondition(type="Ready", status="False", reason="ReadinessGatesNotReady", message=message)
    return ready


def _timed(condition: PodCondition, before: PodCondition | None, now: datetime, generation: int | None) -> PodCondition:
    since = before.last_transition_time if before is not None and before.status == condition.status else now
    return PodCondition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        last_transition_time=since or now,
        observed_generation=generation,
    )
