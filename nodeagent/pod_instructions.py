"""What the pod machine wants done: its outputs. Data only; the pod worker carries them out, each idempotently."""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.pod_events import HookKind
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.api.shared import ResourceRequirements


@dataclass(frozen=True, slots=True)
class RunSandbox:
    """Answered by SandboxReady or SandboxFailed."""


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Answered by VolumesReady or VolumesFailed."""


@dataclass(frozen=True, slots=True)
class PullImage:
    """Make the image present as its pull policy says. Answered by ImageReady or ImageFailed."""

    container: str
    image: str


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Answered by ContainerCreated or CreateFailed."""

    container: str
    attempt: int
    image: str
    image_id: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Answered by ContainerStarted or StartFailed."""

    container: str
    attempt: int
    container_id: str


@dataclass(frozen=True, slots=True)
class RunHook:
    """A lifecycle hook of the container. Answered by HookEnded."""

    container: str
    attempt: int
    container_id: str
    hook: HookKind


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Answered by ContainerExited or StopFailed."""

    container: str
    attempt: int
    container_id: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Not answered: an earlier attempt that a later one replaced."""

    container: str
    attempt: int
    container_id: str


@dataclass(frozen=True, slots=True)
class AskForSize:
    """Whether the node has room for the pod as it is wanted. Answered by ResizeDecided."""

    wanted: Pod


@dataclass(frozen=True, slots=True)
class ApplySizes:
    """Set the cgroups of these containers, which run, to what is set aside for them, and the pod's own: at first as
    wide as before and after need, in the end, with `is_last`, to what is set aside. Answered by SizesApplied."""

    containers: tuple[tuple[str, str], ...]
    """(name, id)"""
    before: Mapping[str, ResourceRequirements]
    """Container -> the requests and limits under which it runs now."""
    is_last: bool


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Answered by SandboxStopped or TeardownFailed."""


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """The sandbox and what is left of its containers. Answered by SandboxRemoved or TeardownFailed."""


@dataclass(frozen=True, slots=True)
class RemoveVolumes:
    """All that the pod stored on the node, its logs too. Answered by VolumesRemoved or TeardownFailed."""


@dataclass(frozen=True, slots=True)
class StartProbes:
    """Answered by ProbeResult whenever a verdict changes, until StopProbes. Replaces what ran for the container."""

    container: str
    attempt: int
    container_id: str
    readiness_only: bool = False
    """The container is ending, and serves what it has begun."""


@dataclass(frozen=True, slots=True)
class StopProbes:
    container: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answered by TimerFired; setting a timer again replaces it."""

    timer: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """An Event object about the pod or, with `container`, about one of its containers."""

    type: str
    reason: str
    message: str
    container: str = ""


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """`stopped`: nothing of the pod is left on the node and nothing of it will start again."""

    status: PodStatus
    stopped: bool = False


Instruction = (
    RunSandbox | PrepareVolumes | PullImage | CreateContainer | StartContainer | RunHook | StopContainer
    | RemoveContainer | AskForSize | ApplySizes | StopSandbox | RemoveSandbox | RemoveVolumes | StartProbes | StopProbes
    | SetTimer | EmitEvent | ReportStatus
)  # fmt: skip
