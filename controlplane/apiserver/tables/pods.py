"""The columns of pods. The status text follows kubectl's rules (printPod in Kubernetes' internalversion printers): the
most telling reason among deletion, init containers and containers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from controlplane.apiserver.tables.columns import AGE, NAME, NONE, Cell, Column, Printer, age, created, wide
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStateTerminated, ContainerStatus, is_finished

NODE_LOST = "NodeLost"


@dataclass(slots=True)
class _Summary:
    """What a walk over container statuses collects."""

    ready: int = 0
    restarts: int = 0
    restarted_at: datetime | None = None

    def count(self, status: ContainerStatus) -> None:
        self.restarts += status.restart_count
        terminated = status.last_state.terminated
        if terminated is not None and terminated.finished_at is not None:
            at = terminated.finished_at
            self.restarted_at = at if self.restarted_at is None else max(at, self.restarted_at)


def pod_cells(pod: Pod, now: datetime) -> list[Cell]:
    summary, reason = _summarize(pod)
    status, spec = pod.status, pod.spec
    total = len(spec.containers) + len(_sidecars(pod))
    restarts = str(summary.restarts)
    if summary.restarts and summary.restarted_at is not None:
        restarts = f"{summary.restarts} ({age(summary.restarted_at, now)} ago)"
    ip = status.pod_ip or (status.pod_ips[0].ip if status.pod_ips else "")
    return [
        pod.metadata.name,
        f"{summary.ready}/{total}",
        _deletion_reason(pod) or reason,
        restarts,
        created(pod, now),
        ip or NONE,
        spec.node_name or NONE,
        status.nominated_node_name or NONE,
        _readiness_gates(pod),
    ]


def _summarize(pod: Pod) -> tuple[_Summary, str]:
    """The containers' summary and the status text as long as the pod is not being deleted."""
    summary, sidecars_only = _Summary(), _Summary()
    reason = _pod_reason(pod)
    init_reason = _init_reason(pod, summary, sidecars_only)
    if init_reason and _condition(pod, "Initialized") != "True":
        return summary, init_reason
    sidecars_only.ready = summary.ready
    return sidecars_only, _container_reason(pod, sidecars_only, init_reason or reason)


def _pod_reason(pod: Pod) -> str:
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            return "SchedulingGated"
    return pod.status.reason or pod.status.phase or ""


def _init_reason(pod: Pod, every: _Summary, sidecars: _Summary) -> str:
    """Why the pod is still initializing; empty when it is not. Counts all init containers, and sidecars apart."""
    names = _sidecars(pod)
    for index, status in enumerate(pod.status.init_container_statuses or ()):
        every.count(status)
        is_sidecar = status.name in names
        if is_sidecar:
            sidecars.count(status)
        terminated, waiting = status.state.terminated, status.state.waiting
        if terminated is not None and terminated.exit_code == 0:
            continue
        if is_sidecar and status.started:
            every.ready += status.ready
            continue
        if terminated is not None:
            return f"Init:{_exit_text(terminated)}"
        if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            return f"Init:{waiting.reason}"
        return f"Init:{index}/{len(pod.spec.init_containers or ())}"
    return ""


def _container_reason(pod: Pod, summary: _Summary, reason: str) -> str:
    """The reason of the first container that has one, unless others still run after it completed."""
    running = False
    for status in reversed(pod.status.container_statuses or ()):
        summary.count(status)
        waiting, terminated = status.state.waiting, status.state.terminated
        if waiting is not None and waiting.reason:
            reason = waiting.reason
        elif terminated is not None:
            reason = _exit_text(terminated)
        elif status.ready and status.state.running is not None:
            running = True
            summary.ready += 1
    if reason == "Completed" and running:
        return "Running" if _condition(pod, "Ready") == "True" else "NotReady"
    return reason


def _exit_text(terminated: ContainerStateTerminated) -> str:
    if terminated.reason:
        return terminated.reason
    return f"Signal:{terminated.signal}" if terminated.signal else f"ExitCode:{terminated.exit_code}"


def _deletion_reason(pod: Pod) -> str:
    if pod.metadata.deletion_timestamp is None:
        return ""
    if pod.status.reason == NODE_LOST:
        return "Unknown"
    return "" if is_finished(pod.status) else "Terminating"


def _sidecars(pod: Pod) -> frozenset[str]:
    """Init containers that keep running (restartPolicy: Always)."""
    return frozenset(c.name for c in pod.spec.init_containers or () if c.restart_policy == "Always")


def _condition(pod: Pod, kind: str) -> str:
    return next((c.status for c in pod.status.conditions or () if c.type == kind), "")


def _readiness_gates(pod: Pod) -> str:
    gates = pod.spec.readiness_gates or ()
    return f"{sum(_gate_states(pod))}/{len(gates)}" if gates else NONE


def _gate_states(pod: Pod) -> Iterator[bool]:
    for gate in pod.spec.readiness_gates or ():
        yield _condition(pod, gate.condition_type) == "True"


PODS = Printer(
    (
        NAME,
        Column("Ready", description="Ready containers of all containers."),
        Column("Status", description="What the pod does or why it does not."),
        Column("Restarts", description="How often containers were restarted, and when last."),
        AGE,
        *map(wide, ("IP", "Node", "Nominated Node", "Readiness Gates")),
    ),
    pod_cells,
)
