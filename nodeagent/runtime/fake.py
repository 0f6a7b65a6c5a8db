"""A runtime without a kernel: sandboxes and containers as plain objects, durations by the event loop. Deterministic.

Used by unit tests and the simulator. It outlives the agent that uses it, as real containers do; several agents may use
it one after the other. What a container does is a `Program`, chosen by its configuration.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from nodeagent.runtime.fake_streams import FakeAttach, FakeExec, FakePort, FakeTerminal
from nodeagent.runtime.figures import ContainerStats, ContainerStorage, DiskUsage, NetworkUsage, PodStats, Usage
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerExited,
    ContainerState,
    ContainerStatus,
    ExecResult,
    ExecSession,
    MemoryInUse,
    NoSuchContainer,
    PortConnection,
    PortRefused,
    Resources,
    RuntimeFault,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)
from orch.kit.clock import Clock

SIGTERM_EXIT, SIGKILL_EXIT = 143, 137
HANDLERS = ("", "crun", "runc")


@dataclass(frozen=True, slots=True)
class Program:
    """What a container's process does."""

    runs_s: float | None = None
    """None: until it is stopped."""
    exit_code: int = 0
    stop_s: float = 0.0
    """How long it takes to end after the stop signal; more than the grace period: it is killed."""
    says: tuple[str, ...] = ()
    """Lines on its stdout, at its start."""
    oom_killed: bool = False
    ports: tuple[int, ...] = ()
    """It gives back what it gets on these."""


@dataclass(slots=True)
class _Container:
    config: ContainerConfig
    status: ContainerStatus
    program: Program
    ending: asyncio.TimerHandle | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    exit_code: list[int] = field(default_factory=list)
    terminal: FakeTerminal = field(default_factory=FakeTerminal)


class FakeRuntime:
    """Implements Runtime. `sandbox_s`, `create_s` and `start_s` are how long these verbs take, in seconds."""

    def __init__(
        self,
        clock: Clock,
        program: Callable[[ContainerConfig], Program] = lambda config: Program(),
        *,
        subnet: str = "10.244.0",
        sandbox_s: float = 0.0,
        create_s: float = 0.0,
        start_s: float = 0.0,
    ) -> None:
        self._clock, self._program, self._subnet = clock, program, subnet
        self._sandbox_s, self._create_s, self._start_s = sandbox_s, create_s, start_s
        self._sandboxes: dict[str, tuple[SandboxConfig, SandboxStatus]] = {}
        self._containers: dict[str, _Container] = {}
        self._exits: asyncio.Queue[ContainerExited] = asyncio.Queue()
        self._connections: list[FakePort] = []
        self._addresses = 0
        self.calls: list[tuple[str, str]] = []
        """(verb, pod uid or container id) of every verb that changes something."""
        self.faults: dict[str, RuntimeFault] = {}
        """Verb -> what it raises until the entry is taken out."""
        self.usages: dict[str, Usage] = {}
        """Container id, pod uid or `node` -> what it uses; nothing unless it stands here."""
        self.storage: dict[str, tuple[DiskUsage, DiskUsage]] = {}
        """Container id -> its writable layer and its logs."""

    def running(self, pod_uid: str) -> list[str]:
        """Names of the pod's containers that run now."""
        return [c.config.name for c in self._containers.values() if _runs(c) and c.config.pod_uid == pod_uid]

    def configs(self, pod_uid: str) -> list[ContainerConfig]:
        return [c.config for c in self._containers.values() if c.config.pod_uid == pod_uid]

    def end(self, container_id: str, exit_code: int) -> None:
        """The container's process ends by itself."""
        self._end(self._existing(container_id), exit_code)

    def reset_ports(self) -> None:
        """All connections to pods break."""
        for connection in self._connections:
            connection.reset()

    def reboot(self) -> None:
        """The machine starts anew: nothing of before is there."""
        for container in self._containers.values():
            if container.ending is not None:
                container.ending.cancel()
        self._containers.clear()
        self._sandboxes.clear()

    async def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus:
        await self._verb("run_pod_sandbox", config.pod_uid, self._sandbox_s)
        if config.runtime_handler not in HANDLERS:
            raise RuntimeFault(f"this node has no runtime handler {config.runtime_handler!r}")
        known = self._sandboxes.get(config.pod_uid)
        if known is not None and known[1].state is SandboxState.READY:
            return known[1]
        self._addresses += 1
        ip = "" if config.host_network else f"{self._subnet}.{self._addresses}"
        status = SandboxStatus(config.pod_uid, config.namespace, config.name, SandboxState.READY, self._clock.now(), ip)
        self._sandboxes[config.pod_uid] = (config, status)
        return status

    async def stop_pod_sandbox(self, pod_uid: str) -> None:
        await self._verb("stop_pod_sandbox", pod_uid)
        for container in self._of_pod(pod_uid):
            self._end(container, SIGKILL_EXIT)
        if pod_uid in self._sandboxes:
            config, status = self._sandboxes[pod_uid]
            self._sandboxes[pod_uid] = config, replace(status, state=SandboxState.NOT_READY, ip="")

    async def remove_pod_sandbox(self, pod_uid: str) -> None:
        await self._verb("remove_pod_sandbox", pod_uid)
        for container in self._of_pod(pod_uid):
            self._end(container, SIGKILL_EXIT)
            del self._containers[container.status.id]
        self._sandboxes.pop(pod_uid, None)

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]:
        return [status for _, status in self._sandboxes.values()]

    async def create_container(self, config: ContainerConfig) -> str:
        await self._verb("create_container", config.name, self._create_s)
        identity = f"{config.pod_uid}-{config.name}-{config.attempt}"
        sandbox = self._sandboxes.get(config.pod_uid)
        if sandbox is None or sandbox[1].state is not SandboxState.READY:
            raise RuntimeFault(f"create {identity}: the sandbox of pod {config.pod_uid} is not ready")
        if identity not in self._containers:
            status = ContainerStatus(
                id=identity,
                pod_uid=config.pod_uid,
                name=config.name,
                attempt=config.attempt,
                image_id=config.image_id,
                image=config.image,
                state=ContainerState.CREATED,
                created_at=self._clock.now(),
                log_path=str(Path(sandbox[0].log_directory) / config.log_path),
                resources=config.resources,
            )
            self._containers[identity] = _Container(config, status, self._program(config))
        return identity

    async def start_container(self, container_id: str) -> None:
        await self._verb("start_container", container_id, self._start_s)
        container = self._existing(container_id)
        if container.status.state is not ContainerState.CREATED:
            return
        now = self._clock.now()
        container.status = replace(
            container.status, state=ContainerState.RUNNING, started_at=now, started_s=self._clock.monotonic()
        )
        _write_log(container, now)
        if container.program.runs_s is not None:
            loop = asyncio.get_running_loop()
            code = container.program.exit_code
            container.ending = loop.call_later(container.program.runs_s, self._end, container, code)

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        await self._verb("stop_container", container_id)
        container = self._existing(container_id)
        if not _runs(container):
            return
        ends_itself = container.program.stop_s <= grace_s
        code = SIGTERM_EXIT if ends_itself else SIGKILL_EXIT
        loop = asyncio.get_running_loop()
        loop.call_later(min(container.program.stop_s, grace_s), self._end, container, code)
        await container.ended.wait()

    async def remove_container(self, container_id: str) -> None:
        await self._verb("remove_container", container_id)
        container = self._containers.pop(container_id, None)
        if container is not None:
            self._end(container, SIGKILL_EXIT)

    async def list_containers(self) -> Sequence[ContainerStatus]:
        return [container.status for container in self._containers.values()]

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._existing(container_id).status

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        await self._verb("update_container_resources", container_id)
        container = self._existing(container_id)
        self._refuse_below_use(container_id, resources)
        container.config = replace(container.config, resources=container.config.resources.updated(resources))
        container.status = replace(container.status, resources=container.config.resources)

    async def update_pod_resources(self, pod_uid: str, resources: Resources) -> None:
        await self._verb("update_pod_resources", pod_uid)
        if pod_uid not in self._sandboxes:
            raise NoSuchContainer(f"pod {pod_uid} has no sandbox")
        self._refuse_below_use(pod_uid, resources)
        config, status = self._sandboxes[pod_uid]
        changed = replace(config, resources=config.resources.updated(resources))
        self._sandboxes[pod_uid] = changed, status

    def _refuse_below_use(self, subject: str, resources: Resources) -> None:
        used, limit = self._usage(subject).memory_bytes, resources.memory_limit_bytes
        if limit is not None and 0 <= limit < used:
            raise MemoryInUse(f"memory limit {limit} of {subject} is below the {used} bytes in use")

    def _usage(self, subject: str) -> Usage:
        return self.usages.get(subject, Usage())

    async def container_stats(self) -> Sequence[ContainerStats]:
        now = self._clock.now()
        return [
            ContainerStats(
                c.status.id, c.config.pod_uid, c.config.name, c.config.attempt, now, self._usage(c.status.id)
            )
            for c in self._containers.values()
            if _runs(c)
        ]

    async def pod_stats(self) -> Sequence[PodStats]:
        now = self._clock.now()
        return [
            PodStats(uid, c.namespace, c.name, now, self._usage(uid), None if c.host_network else NetworkUsage())
            for uid, (c, status) in self._sandboxes.items()
            if status.state is SandboxState.READY
        ]

    async def node_usage(self) -> Usage:
        return self._usage("node")

    async def container_storage(self) -> Sequence[ContainerStorage]:
        nothing = DiskUsage(), DiskUsage()
        return [
            ContainerStorage(i, c.config.pod_uid, c.config.name, c.config.attempt, *self.storage.get(i, nothing))
            for i, c in self._containers.items()
        ]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        """`false` fails, `sleep` never returns, everything else succeeds and says its arguments."""
        self._running(container_id)
        if command and command[0] == "sleep":
            await asyncio.sleep(timeout_s)
            raise TimeoutError(f"{' '.join(command)} did not end in {timeout_s} s")
        return ExecResult(1 if command and command[0] == "false" else 0, " ".join(command).encode())

    @asynccontextmanager
    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> AsyncIterator[ExecSession]:
        """What the command does is FakeExec's."""
        self._running(container_id)
        yield FakeExec(tuple(command))

    @asynccontextmanager
    async def attach(self, container_id: str, *, stdin: bool) -> AsyncIterator[ExecSession]:
        """A container with stdin gives its input back."""
        container = self._running(container_id)
        terminal = container.terminal
        session = FakeAttach(terminal, container.ended, stdin and container.config.stdin, container.exit_code)
        terminal.attached.append(session)
        try:
            yield session
        finally:
            terminal.attached.remove(session)
            if stdin and container.config.stdin_once:
                terminal.input_open = False

    @asynccontextmanager
    async def port_forward(self, pod_uid: str, port: int) -> AsyncIterator[PortConnection]:
        if pod_uid not in self._sandboxes:
            raise NoSuchContainer(f"pod {pod_uid} has no sandbox")
        if not any(_runs(c) and port in c.program.ports for c in self._of_pod(pod_uid)):
            raise PortRefused(f"nothing in pod {pod_uid} takes connections on port {port}")
        connection = FakePort()
        self._connections.append(connection)
        try:
            yield connection
        finally:
            self._connections.remove(connection)

    async def exits(self) -> AsyncIterator[ContainerExited]:
        while True:
            yield await self._exits.get()

    async def _verb(self, verb: str, subject: str, takes_s: float = 0.0) -> None:
        self.calls.append((verb, subject))
        await asyncio.sleep(takes_s)
        if verb in self.faults:
            raise self.faults[verb]

    def _of_pod(self, pod_uid: str) -> list[_Container]:
        return [c for c in self._containers.values() if c.config.pod_uid == pod_uid]

    def _existing(self, container_id: str) -> _Container:
        if container_id not in self._containers:
            raise NoSuchContainer(f"there is no container {container_id}")
        return self._containers[container_id]

    def _running(self, container_id: str) -> _Container:
        container = self._existing(container_id)
        if not _runs(container):
            raise RuntimeFault(f"container {container_id} does not run")
        return container

    def _end(self, container: _Container, exit_code: int) -> None:
        if not _runs(container):
            return
        if container.ending is not None:
            container.ending.cancel()
        container.status = replace(
            container.status,
            state=ContainerState.EXITED,
            exit_code=exit_code,
            finished_at=self._clock.now(),
            oom_killed=container.program.oom_killed,
        )
        container.exit_code.append(exit_code)
        container.ended.set()
        container.terminal.say(b"")
        self._exits.put_nowait(ContainerExited(container.config.pod_uid, container.status.id))


def _runs(container: _Container) -> bool:
    return container.status.state is ContainerState.RUNNING


def _write_log(container: _Container, now: datetime) -> None:
    if not container.program.says:
        return
    path = Path(container.status.log_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%f000+00:00")
    with path.open("a") as file:
        file.writelines(f"{stamp} stdout F {line}\n" for line in container.program.says)
