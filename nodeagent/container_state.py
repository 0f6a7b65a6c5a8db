"""What the machine of a container keeps: its stages, its role in the pod, the runs that ended. Data only."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from nodeagent.pod_events import ContainerExited
from nodeagent.runtime.interface import ContainerState, ContainerStatus

EXIT_CODE_LOST = 137


class Stage(Enum):
    WAITING = auto()
    PULLING = auto()
    CREATING = auto()
    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()
    BACKOFF = auto()
    FINISHED = auto()

    @property
    def is_busy(self) -> bool:
        """A process runs, or an operation that may make one is in flight."""
        return self in (Stage.CREATING, Stage.STARTING, Stage.RUNNING, Stage.STOPPING)


class Role(Enum):
    INIT = auto()
    SIDECAR = auto()
    """An init container with restartPolicy Always: started in order, stopped last."""
    MAIN = auto()


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt that ended."""

    attempt: int
    container_id: str
    exit_code: int
    reason: str
    started_at: datetime | None
    finished_at: datetime | None
    message: str = ""


def exit_event(status: ContainerStatus, now: datetime) -> ContainerExited:
    """What the runtime says of a container that is not running any more."""
    lost = status.state is ContainerState.UNKNOWN
    return ContainerExited(
        container=status.name,
        attempt=status.attempt,
        exit_code=EXIT_CODE_LOST if lost else status.exit_code,
        oom_killed=status.oom_killed,
        started_at=status.started_at,
        finished_at=status.finished_at or now,
        lost=lost,
    )


def restart_policy_of(role: Role, pod_policy: str) -> str:
    """An init container of a pod that always restarts is itself restarted only when it fails."""
    if role is Role.SIDECAR:
        return "Always"
    return "OnFailure" if role is Role.INIT and pod_policy == "Always" else pod_policy
