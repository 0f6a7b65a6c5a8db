"""Pod sandboxes: what the containers of a pod share. All state is files on the run folder:

    sandboxes/<pod uid>/record.json   the configuration, written first
                        net ipc uts user   pinned namespaces
                        shm/          the pod's /dev/shm
                        pause/        bundle of the pause, when containers share a PID namespace
                        ready         the pod's address, written last
                        stopped       the sandbox gave its address back

Every step can be repeated, so a verb that a crash cut short is simply called again.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from nodeagent.runtime import namespaces, orphans, pause, syscalls, user_namespace
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.crun import OciRuntimes
from nodeagent.runtime.interface import (
    NoSuchContainer,
    PodNetwork,
    Resources,
    RuntimeFault,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)
from nodeagent.runtime.oci_spec import IdMapping, Namespaces
from nodeagent.runtime.pause import Pause
from orch.kit.clock import Clock
from orch.kit.threads import in_thread

SHM_SIZE = "64m"
"""What Docker and containerd give."""
HOST_SHM = "/dev/shm"
RECORD, READY, STOPPED = "record.json", "ready", "stopped"


class _Record(msgspec.Struct, frozen=True):
    config: SandboxConfig
    created_at: datetime
    id_base: int


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox on disk. `cgroup` is relative to the hierarchies' roots; `id_base` is the host's id of the pod's root,
    0 without a user namespace."""

    folder: str
    config: SandboxConfig
    created_at: datetime
    cgroup: str
    id_base: int

    @property
    def shm(self) -> str:
        return HOST_SHM if self.config.host_ipc else os.path.join(self.folder, "shm")

    @property
    def id_mapping(self) -> IdMapping | None:
        return IdMapping(self.id_base, user_namespace.IDS_PER_POD) if self.id_base else None

    @property
    def pause(self) -> Pause | None:
        if not self.config.share_process_namespace:
            return None
        return Pause(f"pause-{self.config.pod_uid}", os.path.join(self.folder, "pause"), f"{self.cgroup}/pause")

    def namespaces(self) -> Namespaces:
        return namespaces.paths(self.folder, self.config, self.pause.pid() if self.pause else None)

    def is_ready(self) -> bool:
        """Also false when the mount namespace with the pins was lost, or the pause ended."""
        return (
            self.has(READY)
            and not self.has(STOPPED)
            and namespaces.are_pinned(self.folder, self.config)
            and (self.pause is None or self.pause.pid() is not None)
        )

    def has(self, marker: str) -> bool:
        return os.path.exists(os.path.join(self.folder, marker))

    def mark(self, marker: str, text: str = "") -> None:
        syscalls.write_file(os.path.join(self.folder, marker), text.encode())

    def status(self) -> SandboxStatus:
        config, ready = self.config, self.is_ready()
        ip = ""
        if ready:
            with open(os.path.join(self.folder, READY)) as file:
                ip = file.read()
        state = SandboxState.READY if ready else SandboxState.NOT_READY
        return SandboxStatus(config.pod_uid, config.namespace, config.name, state, self.created_at, ip)


class Sandboxes:
    def __init__(
        self, folder: str, cgroup_root: str, cgroups: Cgroups, network: PodNetwork, oci: OciRuntimes, clock: Clock
    ) -> None:
        self._folder, self._cgroup_root, self._cgroups = folder, cgroup_root.strip("/"), cgroups
        self._network, self._oci, self._clock = network, oci, clock
        os.makedirs(folder, mode=0o711, exist_ok=True)
        self._known = {sandbox.config.pod_uid: sandbox for sandbox in self._load()}

    def get(self, pod_uid: str) -> Sandbox:
        """Raises NoSuchContainer."""
        if (sandbox := self._known.get(pod_uid)) is None:
            raise NoSuchContainer(f"pod {pod_uid} has no sandbox")
        return sandbox

    def cgroup_of(self, pod_uid: str) -> str | None:
        return self._known[pod_uid].cgroup if pod_uid in self._known else None

    def all(self) -> tuple[Sandbox, ...]:
        return tuple(self._known.values())

    async def run(self, config: SandboxConfig) -> SandboxStatus:
        """Makes the sandbox, or finishes making it; the limits of one that is there are set anew."""
        oci = self._oci.named(config.runtime_handler)
        self._cgroups.expect_moves()
        sandbox = self._recorded(config)
        if sandbox.has(STOPPED):
            raise RuntimeFault(f"the sandbox of pod {config.namespace}/{config.name} was stopped; it must be removed")
        self._cgroups.create(sandbox.cgroup, config.resources)
        if sandbox.is_ready():
            return sandbox.status()
        if config.host_users:
            namespaces.pin(sandbox.folder, config, sandbox.id_base)
        else:  # a helper is waited for
            await in_thread(lambda: namespaces.pin(sandbox.folder, config, sandbox.id_base))
        self._mount_shm(sandbox)
        if sandbox.pause:
            os.makedirs(sandbox.pause.folder, exist_ok=True)
            pod = replace(sandbox.namespaces(), pid="")  # never that of an earlier pause, which may be about to go
            await pause.start(oci, sandbox.pause, pod, sandbox.id_mapping, self._cgroups.is_v2)
        network = sandbox.namespaces().network
        attached = self._network.attach(config.pod_uid, network, config.port_mappings) if network else None
        sandbox.mark(READY, await attached if attached else "")
        return sandbox.status()

    async def stop(self, pod_uid: str) -> None:
        """Its containers have ended. Repeatable."""
        if (sandbox := self._known.get(pod_uid)) is None or sandbox.has(STOPPED):
            return
        if sandbox.pause:
            await orphans.end_commands(sandbox.pause.container_id)
            await self._oci.named(sandbox.config.runtime_handler).delete(sandbox.pause.container_id)
        if not sandbox.config.host_network:
            await self._network.detach(pod_uid)
        sandbox.mark(STOPPED)

    def remove(self, pod_uid: str) -> None:
        """Its containers are removed, it is stopped, and no process is in its cgroup. Repeatable."""
        if (sandbox := self._known.get(pod_uid)) is None:
            return
        namespaces.unpin(sandbox.folder)
        while syscalls.unmount(os.path.join(sandbox.folder, "shm")):
            pass
        self._cgroups.remove(sandbox.cgroup)
        shutil.rmtree(sandbox.config.log_directory, ignore_errors=True)
        os.rename(os.path.join(sandbox.folder, RECORD), os.path.join(sandbox.folder, f"{RECORD}.removed"))
        shutil.rmtree(sandbox.folder)
        del self._known[pod_uid]

    async def update(self, pod_uid: str, resources: Resources) -> None:
        """Limits that are None stay as they are. Raises RuntimeFault, NoSuchContainer."""
        cgroup = self.get(pod_uid).cgroup
        await in_thread(lambda: self._cgroups.apply(cgroup, resources))  # a lower limit waits for memory given back
        sandbox = self.get(pod_uid)
        self._recorded(replace(sandbox.config, resources=sandbox.config.resources.updated(resources)))

    def _recorded(self, config: SandboxConfig) -> Sandbox:
        """The record is written before anything else is made, so that a crash leaves nothing that nobody knows."""
        folder = os.path.join(self._folder, config.pod_uid)
        known = self._known.get(config.pod_uid)
        created_at = known.created_at if known else self._clock.now()
        id_base = known.id_base if known else self._id_base(config)
        sandbox = Sandbox(folder, config, created_at, f"{self._cgroup_root}/{config.cgroup_parent}", id_base)
        if known is None or known.config != config:
            os.makedirs(folder, mode=0o711, exist_ok=True)
            syscalls.write_file(os.path.join(folder, RECORD), msgspec.json.encode(_Record(config, created_at, id_base)))
            self._known[config.pod_uid] = sandbox
        return sandbox

    def _id_base(self, config: SandboxConfig) -> int:
        if config.host_users:
            return 0
        number = int.from_bytes(hashlib.sha256(config.pod_uid.encode()).digest()[:8])
        return user_namespace.choose_base(number, {sandbox.id_base for sandbox in self._known.values()})

    def _mount_shm(self, sandbox: Sandbox) -> None:
        if sandbox.config.host_ipc or syscalls.is_mount_point(sandbox.shm):
            return
        os.makedirs(sandbox.shm, exist_ok=True)
        base = sandbox.id_base
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("shm", sandbox.shm, "tmpfs", flags, f"mode=1777,size={SHM_SIZE},uid={base},gid={base}")

    def _load(self) -> Iterator[Sandbox]:
        for entry in os.scandir(self._folder):
            try:
                with open(os.path.join(entry.path, RECORD), "rb") as file:
                    record = msgspec.json.decode(file.read(), type=_Record)
            except FileNotFoundError:
                shutil.rmtree(entry.path)  # made but not recorded, or all but removed: it holds nothing
                continue
            cgroup = f"{self._cgroup_root}/{record.config.cgroup_parent}"
            yield Sandbox(entry.path, record.config, record.created_at, cgroup, record.id_base)
