"""One pod's shell: gives its machine every event and carries out what the machine returns.

One task per pod owns one task per step in flight; the machine never has two steps in flight on one thing, so steps
need no locks. A step that fails becomes the machine's failure event, whatever the fault was: one pod's trouble is
never the agent's. Ends when nothing of the pod is left on the node.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from msgspec.structs import replace

from nodeagent import pod_steps as steps
from nodeagent.pod_events import (
    Adopted,
    CreateFailed,
    Event,
    HookEnded,
    ImageFailed,
    SandboxFailed,
    SizesApplied,
    StartFailed,
    StopFailed,
    TeardownFailed,
    TimerFired,
    VolumesFailed,
)
from nodeagent.pod_inbox import PodInbox
from nodeagent.pod_instructions import (
    ApplySizes,
    AskForSize,
    CreateContainer,
    EmitEvent,
    Instruction,
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    RemoveVolumes,
    ReportStatus,
    RunHook,
    RunSandbox,
    SetTimer,
    StartContainer,
    StartProbes,
    StopContainer,
    StopProbes,
    StopSandbox,
)
from nodeagent.pod_machine import PodMachine
from nodeagent.pod_parts import PodParts, ProbeTarget
from nodeagent.pod_resize import running_sizes
from nodeagent.runtime.interface import ContainerState, ContainerStatus, SandboxStatus
from orch.errors import OrchError
from orch.kit.clock import Moment

log = structlog.get_logger(__name__)

Step = Callable[[Any, PodParts, Any], Awaitable[Event | None]]

STEPS: dict[type, Step] = {
    ApplySizes: steps.apply_sizes,
    RunSandbox: steps.run_sandbox,
    PrepareVolumes: steps.prepare_volumes,
    PullImage: steps.pull_image,
    StartContainer: steps.start_container,
    StopContainer: steps.stop_container,
    RemoveContainer: steps.remove_container,
    StopSandbox: steps.stop_sandbox,
    RemoveSandbox: steps.remove_sandbox,
    RemoveVolumes: steps.remove_volumes,
}


class PodWorker:
    def __init__(self, machine: PodMachine, parts: PodParts) -> None:
        self.machine, self._parts = machine, parts
        self._inbox = PodInbox()
        self.over = asyncio.Event()
        """Nothing of the pod runs or will run."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._log = log.bind(pod=f"{machine.pod.metadata.namespace}/{machine.pod.metadata.name}", uid=self.uid)

    @property
    def uid(self) -> str:
        return self.machine.pod.metadata.uid

    def post(self, event: Event) -> None:
        self._inbox.put(event)

    def adopt(self, sandbox: SandboxStatus | None, containers: tuple[ContainerStatus, ...]) -> None:
        """What the runtime holds of the pod: before anything else is posted."""
        pod, known = self.machine.pod, self.machine.container
        ended = [c for c in containers if c.state is ContainerState.EXITED and known(c.name) is not None]
        messages = {status.id: steps.last_word(pod, self._parts, status) for status in ended}
        self.post(Adopted(sandbox, containers, messages, running_sizes(pod, containers)))

    def container_exited(self, status: ContainerStatus) -> None:
        if self.machine.container(status.name) is not None:
            self.post(steps.exited(self.machine.pod, self._parts, status))

    async def run(self) -> None:
        """Until nothing of the pod is left; steps still in flight then (a pull that nobody waits for) are cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                in_flight: dict[asyncio.Task[None], None] = {}
                while not self.machine.gone:
                    event = await self._inbox.get()
                    for instruction in self.machine.handle(event, Moment.of(self._parts.clock)):
                        self._carry_out(instruction, group, in_flight)
                    if self.machine.over:
                        self.over.set()
                        self._parts.allocations.release(self.uid)
                for task in in_flight:
                    task.cancel()
        finally:
            self.over.set()
            for timer in self._timers.values():
                timer.cancel()
            for container in self.machine.containers:
                self._parts.probes.stop(self.uid, container.name)

    def _carry_out(
        self, instruction: Instruction, group: asyncio.TaskGroup, in_flight: dict[asyncio.Task[None], None]
    ) -> None:
        match instruction:
            case ReportStatus():
                self._parts.reports.pod_status(self.machine.pod, instruction)
            case EmitEvent():
                self._parts.reports.event(self.machine.pod, instruction)
            case SetTimer():
                self._set_timer(instruction)
            case AskForSize():
                self._parts.allocations.ask(instruction.wanted, self.post)
            case StartProbes():
                self._start_probes(instruction)
            case StopProbes():
                self._parts.probes.stop(self.uid, instruction.container)
            case _:
                task = group.create_task(self._step(instruction), name=f"{type(instruction).__name__}-{self.uid}")
                in_flight[task] = None
                task.add_done_callback(in_flight.pop)

    async def _step(self, instruction: Instruction) -> None:
        self._log.debug("step", instruction=type(instruction).__name__)
        try:
            outcome = await self._outcome(instruction)
        except OrchError as error:
            self._log.warning("step_failed", instruction=instruction, error=str(error))
            outcome = failure(instruction, str(error))
        except Exception as error:
            self._log.exception("step_broke", instruction=instruction)
            outcome = failure(instruction, f"{type(error).__name__}: {error}")
        if outcome is not None:
            self.post(outcome)

    async def _outcome(self, instruction: Instruction) -> Event | None:
        pod, pod_ip = self.machine.pod, self.machine.pod_ip
        match instruction:
            case CreateContainer():
                return await steps.create_container(pod, self._parts, instruction, pod_ip)
            case RunHook():
                return await steps.run_lifecycle_hook(pod, self._parts, instruction, pod_ip)
            case _:
                return await STEPS[type(instruction)](pod, self._parts, instruction)

    def _set_timer(self, instruction: SetTimer) -> None:
        running = self._timers.pop(instruction.timer, None)
        if running is not None:
            running.cancel()
        loop = asyncio.get_running_loop()
        fired = TimerFired(instruction.timer)
        self._timers[instruction.timer] = loop.call_later(instruction.delay_s, self.post, fired)

    def _start_probes(self, instruction: StartProbes) -> None:
        container = self.machine.container(instruction.container)
        assert container is not None, "probes are started for containers of the pod"
        spec = container.spec
        if instruction.readiness_only:
            spec = replace(spec, liveness_probe=None, startup_probe=None)
        target = ProbeTarget(self.machine.pod, spec, instruction.attempt, instruction.container_id, self.machine.pod_ip)
        self._parts.probes.start(target, self.post)


def failure(instruction: Instruction, message: str) -> Event | None:
    """What the machine is told when a step fails."""
    match instruction:
        case RunSandbox():
            return SandboxFailed(message)
        case PrepareVolumes():
            return VolumesFailed(message)
        case PullImage():
            return ImageFailed(instruction.container, instruction.image, "ErrImagePull", message)
        case CreateContainer():
            return CreateFailed(instruction.container, instruction.attempt, "CreateContainerError", message)
        case StartContainer():
            return StartFailed(instruction.container, instruction.attempt, message)
        case RunHook():
            return HookEnded(instruction.container, instruction.attempt, instruction.hook, message)
        case StopContainer():
            return StopFailed(instruction.container, instruction.attempt, message)
        case ApplySizes():
            return SizesApplied({}, message)
        case StopSandbox() | RemoveSandbox() | RemoveVolumes():
            return TeardownFailed(message)
        case _:
            return None
