"""What a pod worker works with: the seams to the runtime, images, volumes and probes, and to the agent above it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.environment import Inputs
from nodeagent.pod_events import ProbeResult
from nodeagent.pod_instructions import EmitEvent, ReportStatus
from nodeagent.runtime.interface import ImageService, Mount, Runtime
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod
from orch.api.runtimeclass import RuntimeClass
from orch.kit.clock import Clock


class PodVolumes(Protocol):
    """The volumes of pods, and the files that every container gets (hosts, resolv.conf, ...). Raises OrchError."""

    async def prepare(self, pod: Pod) -> None:
        """Makes all volumes of the pod, or brings them up to date; idempotent."""

    def mounts(self, pod: Pod, container: Container, pod_ip: str) -> tuple[Mount, ...]: ...

    async def remove(self, pod_uid: str) -> None:
        """No error when there are none."""

    async def known(self) -> tuple[str, ...]:
        """Uids of the pods that have something here."""

    def volume_changed(self, name: str) -> None:
        """A PersistentVolume of this node came, changed or went."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    pod: Pod
    container: Container
    attempt: int
    container_id: str
    pod_ip: str


class PodProbes(Protocol):
    """Runs the probes of a container from `start` to `stop`; a verdict is told when it changes."""

    def start(self, target: ProbeTarget, tell: Callable[[ProbeResult], None]) -> None: ...

    def stop(self, pod_uid: str, container: str) -> None:
        """No error when none run."""


class Reports(Protocol):
    """Where what happens to pods goes: the link to the control plane."""

    def pod_status(self, pod: Pod, report: ReportStatus) -> None: ...

    def event(self, pod: Pod, event: EmitEvent) -> None: ...


class PodInputs(Inputs, Protocol):
    """The objects that pods are made from, as the node holds them."""

    def runtime_class(self, name: str) -> RuntimeClass | None: ...


@dataclass(frozen=True, slots=True)
class PodParts:
    runtime: Runtime
    images: ImageService
    volumes: PodVolumes
    probes: PodProbes
    inputs: PodInputs
    reports: Reports
    clock: Clock
    node: NodeFacts
    allocations: Allocations
    pod_logs: Path
    """Folder of all pods' logs; a pod's is `<namespace>_<name>_<uid>` in it."""

    def log_directory(self, pod: Pod) -> Path:
        meta = pod.metadata
        return self.pod_logs / f"{meta.namespace}_{meta.name}_{meta.uid}"
