"""What the machine of a container keeps: its stages, its role in the pod, the runs that ended. Data only."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from nodeagent.pod_events import ContainerExited
from nodeagent.runtime.interface import ContainerState, ContainerStatus
from orch.kit.clock import Moment

EXIT_CODE_LOST = 137
STOP_WINDOW_MIN_S = 2.0
"""What is left of a grace period for the stop signal, whatever hooks and other containers have used up (kubelet's
minimumGracePeriodInSeconds). A shorter period that was asked for stays."""


class Stage(Enum):
    WAITING = auto()
    PULLING = auto()
    CREATING = auto()
    STARTING = auto()
    POST_START = auto()
    """Its process runs; to everybody else it has not started until the postStart hook has ended."""
    RUNNING = auto()
    PRE_STOP = auto()
    """The preStop hook runs, or it has ended and the container's turn to stop has not come."""
    STOPPING = auto()
    BACKOFF = auto()
    FINISHED = auto()

    @property
    def is_busy(self) -> bool:
        """A process runs, or an operation that may make one is in flight."""
        return self.has_process or self in (Stage.CREATING, Stage.STARTING)

    @property
    def has_process(self) -> bool:
        return self.is_shown_running or self is Stage.POST_START

    @property
    def is_shown_running(self) -> bool:
        """Whether status says Running."""
        return self in (Stage.RUNNING, Stage.PRE_STOP, Stage.STOPPING)


class Role(Enum):
    INIT = auto()
    SIDECAR = auto()
    """An init container with restartPolicy Always: started in order, stopped last."""
    MAIN = auto()
    EPHEMERAL = auto()
    """Added to the running pod, to look into it: started at once, never again, and no part of what the pod is for."""


@dataclass(frozen=True, slots=True)
class Grace:
    """How long something has to end. By the steady clock: the node's may be set meanwhile."""

    asked_s: float
    ends_at_s: float

    @staticmethod
    def of(asked_s: float, now: Moment) -> "Grace":
        return Grace(asked_s, now.steady_s + asked_s)

    def left_s(self, now: Moment) -> float:
        return min(max(self.ends_at_s - now.steady_s, STOP_WINDOW_MIN_S), self.asked_s)

    def is_shorter(self, other: "Grace | None") -> bool:
        return other is None or self.ends_at_s < other.ends_at_s


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
    ran_s: float | None = None
    """By the steady clock; None: this agent did not see it run."""


def exit_event(status: ContainerStatus, now: datetime, message: str = "") -> ContainerExited:
    """What the runtime says of a container that is not running any more; `message` is its own last word."""
    lost = status.state is ContainerState.UNKNOWN
    return ContainerExited(
        container=status.name,
        attempt=status.attempt,
        exit_code=EXIT_CODE_LOST if lost else status.exit_code,
        oom_killed=status.oom_killed,
        started_at=status.started_at,
        finished_at=status.finished_at or now,
        lost=lost,
        message=message,
    )


def restart_policy_of(role: Role, pod_policy: str) -> str:
    """An init container of a pod that always restarts is itself restarted only when it fails."""
    if role in (Role.SIDECAR, Role.EPHEMERAL):
        return "Always" if role is Role.SIDECAR else "Never"
    return "OnFailure" if role is Role.INIT and pod_policy == "Always" else pod_policy
