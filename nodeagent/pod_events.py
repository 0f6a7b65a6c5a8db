"""What can happen to a pod on its node: the inputs of the pod machine. Data only.

Every event that answers an instruction names the attempt (or image) it answers for, so that a late answer is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from nodeagent.runtime.interface import ContainerStatus, SandboxStatus
from orch.api.pod.spec import Pod
from orch.api.shared import ResourceRequirements


class ProbeKind(StrEnum):
    STARTUP = "startup"
    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True)
class Adopted:
    """The first event of every machine: what the runtime holds of the pod (nothing, if it is new here)."""

    sandbox: SandboxStatus | None = None
    containers: tuple[ContainerStatus, ...] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    """Container id -> the termination message of one that has ended."""
    sizes: Mapping[str, ResourceRequirements] = field(default_factory=dict)
    """Container id -> the requests and limits that its cgroup amounts to."""


@dataclass(frozen=True, slots=True)
class PodDesired:
    """The pod as the control plane wants it now."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class PodRemoved:
    """The pod object is gone (deleted by force, or its node was replaced): nobody waits for a graceful end."""


@dataclass(frozen=True, slots=True)
class EndPod:
    """The node ends the pod, which has then failed (a shutdown, an eviction). Its own grace period counts if it is
    shorter."""

    reason: str
    message: str
    grace_s: float
    disrupts: bool = True
    """It is the node's doing, not the pod's own: the pod gets the condition DisruptionTarget."""


@dataclass(frozen=True, slots=True)
class InputsChanged:
    """A ConfigMap or Secret that the pod names came, changed or went."""


@dataclass(frozen=True, slots=True)
class ResizeDecided:
    """Whether the pod may have these sizes (container -> requests and limits). May come again after Deferred."""

    sizes: Mapping[str, ResourceRequirements]
    reason: str = ""
    """Deferred or Infeasible; empty: they are set aside for it."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class SizesApplied:
    """Cgroups were set; `fault` says what was refused, after those in `sizes` were done."""

    sizes: Mapping[str, ResourceRequirements]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class SandboxReady:
    ip: str


@dataclass(frozen=True, slots=True)
class SandboxFailed:
    message: str


@dataclass(frozen=True, slots=True)
class SandboxStopped:
    pass


@dataclass(frozen=True, slots=True)
class SandboxRemoved:
    """Nothing of the sandbox and its containers is left."""


@dataclass(frozen=True, slots=True)
class VolumesRemoved:
    """Nothing of the pod is left."""


@dataclass(frozen=True, slots=True)
class TeardownFailed:
    """Stopping or removing the sandbox, or removing the volumes, failed; it is tried again."""

    message: str


@dataclass(frozen=True, slots=True)
class VolumesReady:
    pass


@dataclass(frozen=True, slots=True)
class VolumesFailed:
    message: str


@dataclass(frozen=True, slots=True)
class ImageReady:
    container: str
    image: str
    """As the pod names it."""
    image_id: str
    reference: str
    """Canonical name with digest, for status.imageID."""
    name: str
    """Canonical name, for status.image."""


@dataclass(frozen=True, slots=True)
class ImageFailed:
    container: str
    image: str
    reason: str
    """ErrImagePull, ErrImageNeverPull or InvalidImageName."""
    message: str


@dataclass(frozen=True, slots=True)
class ContainerCreated:
    container: str
    attempt: int
    container_id: str
    size: ResourceRequirements = field(default_factory=ResourceRequirements)
    """The requests and limits that it was made with."""


@dataclass(frozen=True, slots=True)
class CreateFailed:
    container: str
    attempt: int
    reason: str
    """CreateContainerConfigError or CreateContainerError."""
    message: str


@dataclass(frozen=True, slots=True)
class ContainerStarted:
    container: str
    attempt: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class StartFailed:
    container: str
    attempt: int
    message: str


@dataclass(frozen=True, slots=True)
class ContainerExited:
    container: str
    attempt: int
    exit_code: int
    oom_killed: bool
    started_at: datetime | None
    finished_at: datetime
    lost: bool = False
    """Nobody saw how it ended; the exit code is made up."""
    message: str = ""
    """Its termination message."""


@dataclass(frozen=True, slots=True)
class StopFailed:
    container: str
    attempt: int
    message: str


class HookKind(StrEnum):
    POST_START = "PostStart"
    PRE_STOP = "PreStop"


@dataclass(frozen=True, slots=True)
class HookEnded:
    """A lifecycle hook is through; `fault` says why it failed."""

    container: str
    attempt: int
    hook: HookKind
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A probe's verdict, its thresholds applied; or a failure that decides nothing yet."""

    container: str
    attempt: int
    probe: ProbeKind
    healthy: bool
    message: str = ""
    decided: bool = True


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: str


ContainerEvent = (
    ImageReady | ImageFailed | ContainerCreated | CreateFailed | ContainerStarted | StartFailed | ContainerExited
    | StopFailed | HookEnded | ProbeResult
)  # fmt: skip
PodEvent = (
    Adopted | PodDesired | PodRemoved | EndPod | InputsChanged | ResizeDecided | SizesApplied | SandboxReady
    | SandboxFailed | SandboxStopped | SandboxRemoved | TeardownFailed | VolumesReady | VolumesFailed | VolumesRemoved
    | TimerFired
)  # fmt: skip
Event = PodEvent | ContainerEvent
