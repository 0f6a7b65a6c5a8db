"""The container runtime of a node: CRI's verbs on crun, conmon, namespaces and overlayfs. Implements `Runtime`.

    <run_dir>/boot-id sandboxes/ containers/ exec/ crun/ runc/ seccomp/    tmpfs: all that changes with every pod
    <state_dir>/containers/<id>/                                           disk: the containers' own files

This file only joins the parts. `async with` takes over what an earlier process of the agent left; leaving it leaves the
containers running. After a reboot nothing runs: what the run folder still says is dropped, and the pods are started
anew by whoever wants them.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType

import structlog

from nodeagent.runtime import conmon, exec, oci_spec, port_forward, syscalls
from nodeagent.runtime.attach import Attachments
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.containers import Containers
from nodeagent.runtime.crun import DEFAULT_HANDLER, HANDLERS, OciRuntimes
from nodeagent.runtime.exec import ExecRequest
from nodeagent.runtime.figures import ContainerStats, ContainerStorage, PodStats, Usage
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerExited,
    ContainerState,
    ContainerStatus,
    ExecResult,
    ExecSession,
    ImageService,
    PodNetwork,
    PortConnection,
    PortRefused,
    Resources,
    RuntimeFault,
    SandboxConfig,
    SandboxStatus,
)
from nodeagent.runtime.reaping import reap_cgroup
from nodeagent.runtime.sandboxes import Sandboxes
from nodeagent.runtime.seccomp import SeccompFilters
from nodeagent.runtime.stats import Stats
from orch.kit.clock import Clock

EXEC_OUTPUT_BYTES_MAX = 16 * 1024
CREATIONS_PER_CPU = 2
"""Containers that are created at once. More would take as long together and each of them longer; beyond some dozens
monitors take seconds to begin, which looks as if they had died."""
BOOT_ID = "boot-id"
RUN_DIR_MODE = 0o711
"""The root of a pod with a user namespace is nobody on the host, and must get through to its files."""

log = structlog.get_logger(__name__)


class CrunRuntime:
    """`cgroup_root` is the node's cgroup, relative to the hierarchies' roots. One process owns `run_dir` and
    `state_dir` at a time; both are made when missing."""

    def __init__(
        self,
        *,
        run_dir: str,
        state_dir: str,
        cgroup_root: str,
        network: PodNetwork,
        images: ImageService,
        cgroups: Cgroups,
        clock: Clock,
        handlers: Mapping[str, str] = HANDLERS,
        default_handler: str = DEFAULT_HANDLER,
        conmon_binary: str = "/usr/bin/conmon",
    ) -> None:
        forget_earlier_boot(run_dir, syscalls.boot_id())
        self._run_dir, self._cgroups = run_dir, cgroups
        self._attachments = Attachments()
        self._creations = asyncio.Semaphore(CREATIONS_PER_CPU * len(os.sched_getaffinity(0)))
        self._exec_folder, self._exec_count = os.path.join(run_dir, "exec"), 0
        self._oci = OciRuntimes(handlers, default_handler, run_dir)
        sandboxes = os.path.join(run_dir, "sandboxes")
        self._sandboxes = Sandboxes(sandboxes, cgroup_root, cgroups, network, self._oci, clock)
        self._containers = Containers(
            os.path.join(run_dir, "containers"),
            os.path.join(state_dir, "containers"),
            cgroups,
            images,
            self._oci,
            SeccompFilters(os.path.join(run_dir, "seccomp"), os.path.join(state_dir, "seccomp")),
            conmon_binary,
            clock,
        )
        self._stats = Stats(cgroup_root, cgroups, self._sandboxes, self._containers, clock)

    async def __aenter__(self) -> "CrunRuntime":
        exec.end_left(self._exec_folder)
        self._containers.adopt()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._containers.close()

    async def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus:
        with _faults(f"making the sandbox of pod {config.namespace}/{config.name}"):
            return await self._sandboxes.run(config)

    async def stop_pod_sandbox(self, pod_uid: str) -> None:
        with _faults(f"stopping the sandbox of pod {pod_uid}"):
            kills = map(self._containers.kill, self._containers.of_pod(pod_uid))
            for outcome in await asyncio.gather(*kills, return_exceptions=True):
                if outcome is not None:
                    raise outcome
            await self._sandboxes.stop(pod_uid)

    async def remove_pod_sandbox(self, pod_uid: str) -> None:
        await self.stop_pod_sandbox(pod_uid)
        with _faults(f"removing the sandbox of pod {pod_uid}"):
            for container_id in self._containers.of_pod(pod_uid):
                await self.remove_container(container_id)
            if (cgroup := self._sandboxes.cgroup_of(pod_uid)) is not None:
                await reap_cgroup(self._cgroups, cgroup)
            self._sandboxes.remove(pod_uid)

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]:
        return [sandbox.status() for sandbox in self._sandboxes.all()]

    async def create_container(self, config: ContainerConfig) -> str:
        async with self._creations:
            return await self._containers.create(config, self._sandboxes.get(config.pod_uid))

    async def start_container(self, container_id: str) -> None:
        await self._containers.start(container_id)

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        await self._containers.stop(container_id, grace_s)

    async def remove_container(self, container_id: str) -> None:
        self._attachments.forget(container_id)
        await self._containers.remove(container_id)

    async def list_containers(self) -> Sequence[ContainerStatus]:
        return self._containers.all()

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._containers.get(container_id)[1]

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        await self._containers.update(container_id, resources)

    async def update_pod_resources(self, pod_uid: str, resources: Resources) -> None:
        await self._sandboxes.update(pod_uid, resources)

    async def container_stats(self) -> Sequence[ContainerStats]:
        return await self._stats.containers()

    async def pod_stats(self) -> Sequence[PodStats]:
        return await self._stats.pods()

    async def node_usage(self) -> Usage:
        return self._stats.node()

    async def container_storage(self) -> Sequence[ContainerStorage]:
        return await self._stats.storage()

    async def reopen_container_log(self, container_id: str) -> None:
        """CRI's ReopenContainerLog: after the log file was renamed, what comes now goes into a new one."""
        conmon.reopen_log(self._containers.get(container_id)[0].monitored)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        output = bytearray()
        async with (
            asyncio.timeout(timeout_s),
            self.exec(container_id, command, tty=False, stdin=False) as session,
        ):
            async for _, data in session.output():
                output += data[: EXEC_OUTPUT_BYTES_MAX - len(output)]
            return ExecResult(await session.wait(), bytes(output))

    @contextlib.asynccontextmanager
    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> AsyncIterator[ExecSession]:
        found, status = self._containers.get(container_id)
        if status.state != ContainerState.RUNNING:
            raise RuntimeFault(f"exec in container {container_id}: it is {status.state}, not running")
        process = oci_spec.exec_process(found.spec(), command, tty=tty)
        self._exec_count += 1
        folder = os.path.join(self._exec_folder, str(self._exec_count))
        oci = self._oci.named(found.record.handler)
        async with exec.opened(oci, ExecRequest(container_id, process, folder, stdin)) as session:
            yield session

    @contextlib.asynccontextmanager
    async def attach(self, container_id: str, *, stdin: bool) -> AsyncIterator[ExecSession]:
        found, status = self._containers.get(container_id)
        if status.state not in (ContainerState.CREATED, ContainerState.RUNNING):
            raise RuntimeFault(f"attach to container {container_id}: it is {status.state}, not running")
        ended = partial(self._containers.ended, container_id)
        async with self._attachments.opened(found.monitored, stdin=stdin, ended=ended) as session:
            yield session

    @contextlib.asynccontextmanager
    async def port_forward(self, pod_uid: str, port: int) -> AsyncIterator[PortConnection]:
        sandbox = self._sandboxes.get(pod_uid)
        if not sandbox.is_ready():
            raise PortRefused(f"the sandbox of pod {pod_uid} is not ready")
        async with port_forward.opened(sandbox.namespaces().network, port) as connection:
            yield connection

    def exits(self) -> AsyncIterator[ContainerExited]:
        return self._containers.exits()


@contextlib.contextmanager
def _faults(what: str) -> Iterator[None]:
    """What the kernel or the disk refuses is a RuntimeFault."""
    try:
        yield
    except OSError as error:
        raise RuntimeFault(f"{what}: {error}") from error


def forget_earlier_boot(run_dir: str, boot_id: str) -> None:
    """Empties a run folder that outlived a reboot (it should be a tmpfs, but need not be): its pids, mounts and
    sockets mean nothing any more."""
    os.makedirs(run_dir, exist_ok=True)
    os.chmod(run_dir, RUN_DIR_MODE)
    path = os.path.join(run_dir, BOOT_ID)
    try:
        with open(path) as file:
            if file.read() == boot_id:
                return
        log.info("earlier_boot_forgotten", run_dir=run_dir)
        for name in ("sandboxes", "containers", "exec", *HANDLERS, "seccomp"):
            shutil.rmtree(os.path.join(run_dir, name), ignore_errors=True)
    except FileNotFoundError:
        pass
    syscalls.write_file(path, boot_id.encode())
