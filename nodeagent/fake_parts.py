"""Volumes, probes and a network that do nothing but remember: for unit tests and the simulator."""

from collections.abc import Callable, Sequence
from typing import Any

from nodeagent.pod_events import ProbeKind, ProbeResult
from nodeagent.pod_parts import ProbeTarget
from nodeagent.runtime.interface import Mount
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod
from orch.errors import OrchError


class FakeVolumes:
    """Implements PodVolumes. A pod uid in `broken` fails with its message."""

    def __init__(self) -> None:
        self.prepared: dict[str, int] = {}
        """Pod uid -> how often `prepare` succeeded."""
        self.broken: dict[str, str] = {}

    async def prepare(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        if uid in self.broken:
            raise OrchError(self.broken[uid])
        self.prepared[uid] = self.prepared.get(uid, 0) + 1

    def mounts(self, pod: Pod, container: Container, pod_ip: str) -> tuple[Mount, ...]:
        return ()

    async def remove(self, pod_uid: str) -> None:
        self.prepared.pop(pod_uid, None)

    async def known(self) -> tuple[str, ...]:
        return tuple(self.prepared)

    def volume_changed(self, name: str) -> None:
        pass


class FakeProbes:
    """Implements PodProbes. Every startup and readiness probe succeeds at once unless `healthy` says no; `tell` brings
    later verdicts."""

    def __init__(self, healthy: Callable[[ProbeTarget], bool] = lambda target: True) -> None:
        self._healthy = healthy
        self._running: dict[tuple[str, str], tuple[ProbeTarget, Callable[[ProbeResult], None]]] = {}

    def start(self, target: ProbeTarget, tell: Callable[[ProbeResult], None]) -> None:
        self._running[target.pod.metadata.uid, target.container.name] = target, tell
        specs = {
            ProbeKind.STARTUP: target.container.startup_probe,
            ProbeKind.READINESS: target.container.readiness_probe,
        }
        for probe, spec in specs.items():
            if spec is not None and self._healthy(target):
                tell(ProbeResult(target.container.name, target.attempt, probe, True))

    def stop(self, pod_uid: str, container: str) -> None:
        self._running.pop((pod_uid, container), None)

    def tell(self, pod_uid: str, container: str, probe: ProbeKind, healthy: bool) -> None:
        """A verdict, if the container is being probed."""
        if (pod_uid, container) in self._running:
            target, tell = self._running[pod_uid, container]
            tell(ProbeResult(container, target.attempt, probe, healthy, "as the test says"))


class FakeNetwork:
    """Implements agent.NodeNetwork: what is handed over counts as applied at once."""

    def __init__(self, on_applied: Callable[[int], None]) -> None:
        self._on_applied = on_applied
        self.objects: dict[str, Any] = {}
        """By uid."""

    def apply(self, old: Any, new: Any) -> None:
        if new is not None:
            self.objects[new.metadata.uid] = new
        elif old is not None:
            self.objects.pop(old.metadata.uid, None)

    def apply_snapshot(self, objects: Sequence[Any]) -> None:
        self.objects = {obj.metadata.uid: obj for obj in objects}

    def reached(self, revision: int) -> None:
        self._on_applied(revision)
