"""The resize of one pod on its node, a part of the pod machine. Pure.

    wanted (spec)  --ask-->  allocated (what the machine's pod says)  --apply-->  size (of each container that runs)

As kubelet's in-place pod resize: the pod's cgroup grows first and shrinks last; a container whose resizePolicy says so
is restarted, all others go on with the process that they have. Invariant: one change of cgroups at a time; what could
not be applied is tried again.
"""

from collections.abc import Iterator, Mapping, Sequence

from nodeagent.allocations import Sizes, sized, sizes_of
from nodeagent.container_end import NORMAL, WARNING
from nodeagent.container_machine import ContainerMachine
from nodeagent.container_state import Role, Stage
from nodeagent.pod_events import ResizeDecided, SizesApplied
from nodeagent.pod_instructions import ApplySizes, AskForSize, EmitEvent, Instruction, SetTimer
from nodeagent.resources import amounts, observed
from nodeagent.runtime.interface import ContainerStatus
from orch.api.pod.allocation import RESIZE_IN_PROGRESS, RESIZE_PENDING
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition, PodStatus
from orch.api.shared import ResourceRequirements
from orch.kit.backoff import Backoff
from orch.kit.clock import Moment

RESIZE_TIMER = "resize"
RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S = 1.0, 60.0
RUNS = (Stage.RUNNING, Stage.POST_START)
RESIZED_ROLES = (Role.MAIN, Role.SIDECAR)


class PodResize:
    def __init__(self, pod: Pod, stored: PodStatus) -> None:
        """`pod`: with what is set aside for it."""
        self._asked: Sizes = sizes_of(pod)
        self.pending: tuple[str, str] | None = None
        """(reason, message): why what is wanted is not set aside."""
        self.in_progress = any(c.type == RESIZE_IN_PROGRESS for c in stored.conditions or ())
        self.error = ""
        self._in_flight = self._waits = self._is_wide = False
        self._is_last = False
        self._superseded = False
        """What is in flight was decided before what is set aside now."""
        self._backoff = Backoff[str](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)

    def adopted(self, containers: Sequence[ContainerMachine]) -> None:
        """An earlier agent may have been killed in the middle."""
        self.in_progress = self.in_progress or any(map(_is_outdated, containers))

    def desired(self, allocated: Pod, wanted: Pod) -> tuple[Pod, list[Instruction]]:
        """The wanted pod with what is set aside for it, and the question whether it may have what it wants."""
        sizes = sizes_of(wanted)
        if sizes == self._asked:
            return sized(wanted, sizes_of(allocated)), []
        self._asked = sizes
        return sized(wanted, sizes_of(allocated)), [AskForSize(wanted)]

    def decided(self, pod: Pod, event: ResizeDecided) -> tuple[Pod, list[Instruction]]:
        """An answer to what is no longer wanted changes nothing."""
        if event.sizes != self._asked:
            return pod, []
        if event.reason:
            news = self.pending != (event.reason, event.message)
            self.pending = event.reason, event.message
            told = EmitEvent(WARNING, f"Resize{event.reason}", f"Pod resize {event.reason}: {event.message}")
            return pod, [told] if news else []
        self.pending = None
        if _same_sizes(event.sizes, sizes_of(pod)):
            return sized(pod, event.sizes), []
        self.in_progress, self.error, self._is_wide, self._waits = True, "", False, False
        self._superseded = self._in_flight
        return sized(pod, event.sizes), [EmitEvent(NORMAL, "ResizeStarted", "Pod resize started")]

    def applied(self, event: SizesApplied, containers: Sequence[ContainerMachine]) -> Iterator[Instruction]:
        self._in_flight = False
        for container in containers:
            container.size = event.sizes.get(container.name, container.size)
        if self._superseded:  # it says nothing of the room that the pod has for its new sizes
            self._superseded = False
            return
        if event.fault:
            if event.fault != self.error:
                yield EmitEvent(WARNING, "ResizeError", f"Pod resize error: {event.fault}")
            self.error, self._waits = event.fault, True
            yield SetTimer(RESIZE_TIMER, self._backoff.next_s(RESIZE_TIMER))
            return
        self._backoff.forget(RESIZE_TIMER)
        self.error, self._is_wide = "", True
        if self._is_last and not any(map(_is_outdated, containers)):
            self.in_progress = False
            yield EmitEvent(NORMAL, "ResizeCompleted", "Pod resize completed")

    def timer_fired(self) -> None:
        self._waits = False

    def advance(self, containers: Sequence[ContainerMachine], now: Moment) -> Iterator[Instruction]:
        """While the sandbox is ready and the pod is to run."""
        if not self.in_progress or self._in_flight or self._waits:
            return
        outdated = [c for c in containers if _is_outdated(c)]
        restarts = [c for c in outdated if _must_restart(c)]
        live = [c for c in outdated if c.stage in RUNS and c not in restarts]
        if live or not outdated or not self._is_wide:
            self._in_flight, self._is_last = True, len(live) == len(outdated)
            before = {c.name: c.size for c in containers if c.stage.is_busy and c.size is not None}
            yield ApplySizes(tuple((c.name, c.container_id) for c in live), before, self._is_last)
            return
        for container in restarts:
            if container.stage in RUNS:
                yield from container.restart(f"Container {container.name} resize requires restart", now)

    def conditions(self) -> Iterator[PodCondition]:
        if self.pending is not None:
            reason, message = self.pending
            yield PodCondition(type=RESIZE_PENDING, status="True", reason=reason, message=message)
        if self.in_progress:
            error = "Error" if self.error else None
            yield PodCondition(type=RESIZE_IN_PROGRESS, status="True", reason=error, message=self.error or None)


def _is_outdated(container: ContainerMachine) -> bool:
    """It runs, or is just being started, with another size than is set aside for it."""
    if container.role not in RESIZED_ROLES or not container.stage.is_busy or container.size is None:
        return False
    return not _same_size(container.size, container.spec.resources)


def _must_restart(container: ContainerMachine) -> bool:
    size, spec = container.size or ResourceRequirements(), container.spec
    before, after = (
        {name: (requests.get(name), limits.get(name)) for name in ("cpu", "memory")}
        for requests, limits in ((amounts(s.requests), amounts(s.limits)) for s in (size, spec.resources))
    )
    policies = {p.resource_name: p.restart_policy for p in spec.resize_policy or ()}
    return any(before[name] != after[name] and policies.get(name) == "RestartContainer" for name in before)


def _same_size(one: ResourceRequirements, other: ResourceRequirements) -> bool:
    return (amounts(one.requests), amounts(one.limits)) == (amounts(other.requests), amounts(other.limits))


def _same_sizes(one: Mapping[str, ResourceRequirements], other: Mapping[str, ResourceRequirements]) -> bool:
    return all(_same_size(size, other.get(name, ResourceRequirements())) for name, size in one.items())


def running_sizes(pod: Pod, containers: tuple[ContainerStatus, ...]) -> dict[str, ResourceRequirements]:
    """Container id -> what it runs with. A pod with resources of its own is never resized, and its containers' cgroups
    hold limits that are the pod's."""
    given = sizes_of(pod)
    known = [container for container in containers if container.name in given]
    if pod.spec.resources is not None:
        return {container.id: given[container.name] for container in known}
    return {container.id: observed(container.resources, given[container.name]) for container in known}
