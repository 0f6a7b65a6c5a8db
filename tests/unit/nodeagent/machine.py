"""A pod machine on a clock that the test moves, and events as a well-behaved node would answer them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from nodeagent.pod_events import (
    Adopted,
    ContainerCreated,
    ContainerExited,
    ContainerStarted,
    Event,
    HookEnded,
    HookKind,
    ImageReady,
    PodRemoved,
    SandboxReady,
    SandboxRemoved,
    SandboxStopped,
    TimerFired,
    VolumesReady,
    VolumesRemoved,
)
from nodeagent.pod_instructions import (
    CreateContainer,
    EmitEvent,
    Instruction,
    PrepareVolumes,
    PullImage,
    RemoveSandbox,
    RemoveVolumes,
    ReportStatus,
    RunSandbox,
    SetTimer,
    StartContainer,
    StopContainer,
    StopSandbox,
)
from nodeagent.pod_machine import PodMachine
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.status import PodStatus
from orch.kit.clock import Moment

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
HOST_IP = "192.168.0.1"


def a_container(name: str = "app", **fields: Any) -> Container:
    return Container(**({"name": name, "image": f"{name}:1"} | fields))


def a_pod(*containers: Container, meta: dict[str, Any] | None = None, **spec: Any) -> Pod:
    return Pod(
        metadata=ObjectMeta(**({"name": "web", "namespace": "default", "uid": "web-uid"} | (meta or {}))),
        spec=PodSpec(**({"containers": containers or (a_container(),), "node_name": "node-1"} | spec)),
    )


def answer(instruction: Instruction, now: datetime) -> Event | None:
    """What a node answers when all goes well."""
    match instruction:
        case RunSandbox():
            return SandboxReady("10.244.0.5")
        case PrepareVolumes():
            return VolumesReady()
        case PullImage():
            name = f"docker.io/library/{instruction.image}"
            return ImageReady(instruction.container, instruction.image, "sha256:1", f"{name}@sha256:2", name)
        case CreateContainer():
            container, attempt = instruction.container, instruction.attempt
            return ContainerCreated(container, attempt, f"{container}-{attempt}")
        case StartContainer():
            return ContainerStarted(instruction.container, instruction.attempt, now)
        case StopContainer():
            return ContainerExited(instruction.container, instruction.attempt, 143, False, None, now)
        case StopSandbox():
            return SandboxStopped()
        case RemoveSandbox():
            return SandboxRemoved()
        case RemoveVolumes():
            return VolumesRemoved()
        case _:
            return None


@dataclass
class Node:
    """Feeds a machine and answers it; `hold` says which instructions stay unanswered (and are kept in `held`)."""

    machine: PodMachine
    now: datetime = NOW
    clock_set_s: float = 0.0
    hold: Callable[[Instruction], bool] = lambda instruction: False
    held: list[Instruction] = field(default_factory=list)
    done: list[Instruction] = field(default_factory=list)

    def give(self, event: Event) -> list[Instruction]:
        """Everything that follows from the event."""
        begin = len(self.done)
        events: list[Event] = [event]
        while events:
            for instruction in self.machine.handle(events.pop(0), self.moment()):
                self.done.append(instruction)
                if self.hold(instruction):
                    self.held.append(instruction)
                elif (answered := answer(instruction, self.now)) is not None:
                    events.append(answered)
        return self.done[begin:]

    def moment(self) -> Moment:
        return Moment(self.now, (self.now - NOW).total_seconds() - self.clock_set_s)

    def set_clock(self, seconds: float) -> None:
        """The node's clock jumps."""
        self.now += timedelta(seconds=seconds)
        self.clock_set_s += seconds

    def later(self, seconds: float) -> "Node":
        self.now += timedelta(seconds=seconds)
        return self

    def exits(
        self, container: str, code: int, *, oom_killed: bool = False, attempt: int | None = None
    ) -> list[Instruction]:
        machine = self.machine.container(container)
        assert machine is not None
        attempt = machine.attempt if attempt is None else attempt
        return self.give(ContainerExited(container, attempt, code, oom_killed, machine.started_at, self.now))

    def finish(self) -> None:
        """All that is unanswered is answered, hooks and timers too, and the pod is wanted no longer."""
        self.hold = lambda instruction: False
        for instruction in self.held:
            if (answered := answer(instruction, self.now)) is not None:
                self.give(answered)
        self.give(PodRemoved())
        for container in self.machine.containers:
            for hook in HookKind:
                self.give(HookEnded(container.name, container.attempt, hook))
        for timer in [i.timer for i in self.done if isinstance(i, SetTimer)]:
            self.give(TimerFired(timer))

    @property
    def status(self) -> PodStatus:
        return self.machine.status

    def condition(self, type_: str) -> tuple[str, str | None]:
        return next((c.status, c.reason) for c in self.status.conditions or () if c.type == type_)


def a_node(pod: Pod, stored: PodStatus | None = None, hold: Callable[[Instruction], bool] = lambda i: False) -> Node:
    return Node(PodMachine(pod, stored or PodStatus(), HOST_IP), hold=hold)


def started(pod: Pod) -> Node:
    """A node on which the pod has come up."""
    node = a_node(pod)
    node.give(Adopted())
    return node


def steps(instructions: list[Instruction]) -> list[Instruction]:
    """Without reports and events."""
    return [i for i in instructions if not isinstance(i, ReportStatus | EmitEvent)]


def reasons(instructions: list[Instruction]) -> list[str]:
    """Of the events."""
    return [i.reason for i in instructions if isinstance(i, EmitEvent)]
