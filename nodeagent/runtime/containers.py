"""Containers: create, start, stop, remove, and the news of their ends.

The end of a container is the end of its monitor, seen through a pidfd: no polling, and a monitor that was killed is
noticed as well. Every verb first looks at what is on disk and does what is missing, so it can be called again after a
crash between any two steps; what a crash left half-made is destroyed and made anew.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import structlog

from nodeagent.runtime import (
    capabilities,
    conmon,
    container,
    host,
    oci_spec,
    orphans,
    overlay,
    syscalls,
    user_namespace,
    users,
)
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.conmon import CONTAINER_PID_FILE, read_pid
from nodeagent.runtime.container import CREATED, LOST, SCRATCH, STARTED, Container, Record
from nodeagent.runtime.crun import OciRuntimes
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerExited,
    ContainerStatus,
    Image,
    ImageService,
    NoSuchContainer,
    Resources,
    RuntimeFault,
)
from nodeagent.runtime.oci_spec import Placement
from nodeagent.runtime.reaping import KILL_TIMEOUT_S, reap_cgroup
from nodeagent.runtime.sandboxes import Sandbox
from nodeagent.runtime.seccomp import Filter, SeccompFilters
from nodeagent.runtime.users import Identity
from orch.kit import trees
from orch.kit.clock import Clock, Moment
from orch.kit.threads import in_thread

CONTAINER_ID_DIGITS = 32
CONSOLE = (5, 1)
"""The machine's own terminal, by its device number: crun lets every container open it, and nothing in the config can
take that back."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """A container that this process looks after. `status` is None until it exists."""

    container: Container
    status: ContainerStatus | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    monitor: int | None = None
    """A pidfd, watched by the event loop."""


def container_id(pod_uid: str, name: str, attempt: int) -> str:
    """The same three always give the same id, so that `create` called again finds what it made."""
    return hashlib.sha256(f"{pod_uid}/{name}/{attempt}".encode()).hexdigest()[:CONTAINER_ID_DIGITS]


class Containers:
    """`folder` is on tmpfs, `writable_folder` on disk; both belong to it alone."""

    def __init__(
        self,
        folder: str,
        writable_folder: str,
        cgroups: Cgroups,
        images: ImageService,
        oci: OciRuntimes,
        seccomp: SeccompFilters,
        conmon_binary: str,
        clock: Clock,
    ) -> None:
        self._folder, self._writable_folder = folder, writable_folder
        self._cgroups, self._images, self._oci, self._seccomp = cgroups, images, oci, seccomp
        self._conmon, self._clock = conmon_binary, clock
        self._facts, self._capabilities = host.facts(cgroups), host.available_capabilities()
        self._known: dict[str, _Known] = {}
        self._exits: asyncio.Queue[ContainerExited] = asyncio.Queue()
        for path, mode in ((folder, 0o711), (writable_folder, 0o711)):
            os.makedirs(path, mode=mode, exist_ok=True)

    def adopt(self) -> None:
        """Takes over what an earlier agent process left, and watches what still runs. What ended meanwhile is no news:
        it stands in `all`."""
        for name in os.listdir(self._folder):
            folder = os.path.join(self._folder, name)
            found = container.load(name, folder, self._writable(name))
            if found is None:
                _drop(folder)
                continue
            known = self._known[name] = _Known(found)
            if found.has(CREATED):
                self._watch(known)
        for name in os.listdir(self._writable_folder):
            if name not in self._known:
                _drop(self._writable(name))
        while not self._exits.empty():
            self._exits.get_nowait()

    def close(self) -> None:
        """Stops watching. The containers run on."""
        for known in self._known.values():
            self._unwatch(known)

    def get(self, identity: str) -> tuple[Container, ContainerStatus]:
        """Raises NoSuchContainer."""
        known = self._existing(identity)
        assert known.status is not None
        return known.container, known.status

    def all(self) -> list[ContainerStatus]:
        return [known.status for known in self._known.values() if known.status is not None]

    def of_pod(self, pod_uid: str) -> list[str]:
        """Ids, half-made containers included."""
        return [id_ for id_, known in self._known.items() if known.container.record.config.pod_uid == pod_uid]

    async def exits(self) -> AsyncIterator[ContainerExited]:
        while True:
            yield await self._exits.get()

    async def ended(self, identity: str) -> int:
        """Its exit code, once it has ended. Raises NoSuchContainer."""
        known = self._existing(identity)
        await known.ended.wait()
        assert known.status is not None
        return known.status.exit_code

    async def create(self, config: ContainerConfig, sandbox: Sandbox) -> str:
        """Raises RuntimeFault; then nothing of it is left."""
        identity = container_id(config.pod_uid, config.name, config.attempt)
        if (known := self._known.get(identity)) and known.status is not None:
            return identity
        if known:
            await self._destroy(known)
        if not sandbox.is_ready():
            raise RuntimeFault(f"container {config.name}: the sandbox of pod {config.pod_uid} is not ready")
        if (image := await self._images.find(config.image_id)) is None:
            raise RuntimeFault(f"container {config.name}: image {config.image_id} is not on this node")
        known = self._known[identity] = _Known(self._record(identity, config, sandbox, image))
        try:
            await self._create(known.container, sandbox, image)
        except (RuntimeFault, OSError) as error:
            await self._destroy(known)
            raise RuntimeFault(f"container {config.name}: {error}") from error
        self._watch(known)
        return identity

    async def start(self, identity: str) -> None:
        known = self._existing(identity)
        found = known.container
        oci = self._oci.named(found.record.handler)
        if known.ended.is_set() or (found.has(STARTED) and not oci.waits_for_start(identity)):
            return
        found.mark(STARTED, Moment.of(self._clock))
        try:
            await oci.start(identity)
        except RuntimeFault:
            if oci.waits_for_start(identity):
                raise
            # else another `start`, begun by an agent that was killed since, was faster
        self._refresh(known)

    async def stop(self, identity: str, grace_s: float) -> None:
        if (known := self._known.get(identity)) is None:
            return
        if grace_s > 0 and not known.ended.is_set():
            known.container.signal(known.container.record.stop_signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await known.ended.wait()
        if not known.ended.is_set():
            await self.kill(identity)

    async def kill(self, identity: str) -> None:
        """SIGKILL to all its processes; returns when its end is known. Raises RuntimeFault."""
        if (known := self._known.get(identity)) is None or known.status is None:
            return
        self._cgroups.kill(known.container.record.cgroup)
        try:
            async with asyncio.timeout(KILL_TIMEOUT_S):
                await known.ended.wait()
        except TimeoutError:
            raise RuntimeFault(f"container {identity} does not end after SIGKILL") from None

    async def remove(self, identity: str) -> None:
        if (known := self._known.get(identity)) is None:
            return
        await self.kill(identity)
        await self._destroy(known)

    async def update(self, identity: str, resources: Resources) -> None:
        """Limits that are None stay as they are. Raises RuntimeFault, NoSuchContainer."""
        cgroup = self._existing(identity).container.record.cgroup
        await in_thread(lambda: self._cgroups.apply(cgroup, resources))  # a lower limit waits for memory given back
        known = self._existing(identity)
        assert known.status is not None
        record = known.container.record
        config = replace(record.config, resources=record.config.resources.updated(resources))
        known.container = replace(known.container, record=msgspec.structs.replace(record, config=config))
        known.container.save()
        known.status = replace(known.status, resources=config.resources)

    def _existing(self, identity: str) -> _Known:
        known = self._known.get(identity)
        if known is None or known.status is None:
            raise NoSuchContainer(f"there is no container {identity}")
        return known

    def _writable(self, identity: str) -> str:
        return os.path.join(self._writable_folder, identity)

    def _record(self, identity: str, config: ContainerConfig, sandbox: Sandbox, image: Image) -> Container:
        """Makes the folder and writes the record: from here on a crash leaves something that is known."""
        log_path = os.path.join(sandbox.config.log_directory, config.log_path) if config.log_path else os.devnull
        record = Record(
            config,
            f"{sandbox.cgroup}/{identity}",
            log_path,
            _stop_signal(config.stop_signal or image.config.stop_signal),
            self._clock.now(),
            sandbox.config.runtime_handler,
        )
        made = Container(identity, os.path.join(self._folder, identity), self._writable(identity), record)
        os.makedirs(made.root, mode=0o711, exist_ok=True)
        made.save()
        return made

    async def _create(self, made: Container, sandbox: Sandbox, image: Image) -> None:
        config, oci = made.record.config, self._oci.named(made.record.handler)
        if made.record.log_path != os.devnull:
            os.makedirs(os.path.dirname(made.record.log_path), mode=0o755, exist_ok=True)
        await in_thread(lambda: _mount_root(made, image, sandbox))  # a busy disk must not hold up the other pods
        granted = capabilities.granted(config.security, self._capabilities)
        seccomp = self._seccomp.for_container(config.security, granted, compiled=oci.takes_compiled_filters)
        self._write_spec(made, sandbox, image, granted, seccomp)
        self._cgroups.expect_moves()
        await conmon.create(self._conmon, oci, made.monitored)
        self._seccomp.keep(seccomp, oci.compiled_filter(made.id))
        if not config.security.privileged:
            self._cgroups.deny_device(made.record.cgroup, *CONSOLE)
        made.mark(CREATED, Moment.of(self._clock))

    def _write_spec(
        self, made: Container, sandbox: Sandbox, image: Image, granted: Sequence[str], seccomp: Filter
    ) -> None:
        config = _mapped_mounts(made, sandbox)
        granting = host.devices_for_everybody if sandbox.id_mapping else host.devices
        devices = granting() if config.security.privileged else ()
        namespaces = sandbox.namespaces()
        if config.pid_target:
            namespaces = replace(namespaces, pid=self._pid_namespace(config.pid_target), host_pid=False)
        placement = Placement(made.root, made.record.cgroup, sandbox.shm, namespaces, devices, sandbox.id_mapping)
        identity = _identity(config, made.root)
        spec = oci_spec.container_spec(
            sandbox.config, config, image.config, identity, granted, seccomp, placement, self._facts
        )
        syscalls.write_file(made.spec_path, json.dumps(spec).encode())

    def _pid_namespace(self, identity: str) -> str:
        """Of a running container. Raises RuntimeFault."""
        pid = read_pid(os.path.join(self._existing(identity).container.folder, CONTAINER_PID_FILE))
        if pid is None:
            raise RuntimeFault(f"container {identity} has no process whose namespace could be joined")
        return f"/proc/{pid}/ns/pid"

    def _watch(self, known: _Known) -> None:
        known.monitor = conmon.open_monitor(known.container.monitored)
        self._refresh(known)
        if known.monitor is None:
            self._monitor_ended(known)
        else:
            asyncio.get_running_loop().add_reader(known.monitor, self._monitor_ended, known)

    def _unwatch(self, known: _Known) -> None:
        if known.monitor is not None:
            asyncio.get_running_loop().remove_reader(known.monitor)
            os.close(known.monitor)
            known.monitor = None

    def _monitor_ended(self, known: _Known) -> None:
        self._unwatch(known)
        found = known.container
        if found.exited() is None and not found.has(LOST):
            log.warning("container_monitor_died", container=found.id, pod=found.record.config.pod_uid)
            found.mark(LOST, Moment.of(self._clock))
        self._cgroups.kill(found.record.cgroup)  # what outlived the first process in a shared PID namespace
        self._refresh(known)
        known.ended.set()
        self._exits.put_nowait(ContainerExited(found.record.config.pod_uid, found.id))

    def _refresh(self, known: _Known) -> None:
        record = known.container.record
        oom_kills = self._cgroups.oom_kills(record.cgroup)
        known.status = container.status(known.container, self._oci.named(record.handler), oom_kills)

    async def _destroy(self, known: _Known) -> None:
        """Every trace, whatever was made of it. The record goes last."""
        found = known.container
        self._unwatch(known)
        if not found.has(CREATED):
            await orphans.end_commands(found.id)
        await conmon.kill_monitor(found.monitored)
        await reap_cgroup(self._cgroups, found.record.cgroup)
        await self._oci.named(found.record.handler).delete(found.id)
        self._cgroups.remove(found.record.cgroup)
        for point in found.mount_points():
            while syscalls.unmount(point):
                pass
        await asyncio.get_running_loop().run_in_executor(None, _remove_folders, found)
        self._known.pop(found.id, None)


def _mount_root(made: Container, image: Image, sandbox: Sandbox) -> None:
    if sandbox.id_base:
        user, scratch = sandbox.namespaces().user, os.path.join(made.folder, SCRATCH)
        overlay.mount_mapped_root(made.root, image.layer_paths, made.writable, sandbox.id_base, user, scratch)
    else:
        overlay.mount_root(made.root, image.layer_paths, made.writable, owner=os.getuid())


def _mapped_mounts(made: Container, sandbox: Sandbox) -> ContainerConfig:
    """In a pod with a user namespace, the config with each volume replaced by its id-mapped mount."""
    config = made.record.config
    if not sandbox.id_base:
        return config
    user, mapped = sandbox.namespaces().user, []
    for mount, target in zip(config.mounts, made.mapped_mounts(), strict=True):
        user_namespace.make_target(mount.host_path, target)
        user_namespace.map_mount(mount.host_path, target, user)
        mapped.append(replace(mount, host_path=target))
    return replace(config, mounts=tuple(mapped))


def _remove_folders(found: Container) -> None:
    _drop(found.writable)
    trees.remove(found.folder)


def _drop(folder: str) -> None:
    """What nobody needs any more: nothing waits for it, and a node starts even when it stays."""
    try:
        trees.remove(folder)
    except OSError as error:
        log.warning("container_folder_not_removed", folder=folder, error=str(error), next="the agent's next start")


def _identity(config: ContainerConfig, root: str) -> Identity:
    security = config.security
    if not security.username:
        return Identity(security.uid, security.gid)
    found = users.resolve(security.username, users.read(root, "/etc/passwd"), users.read(root, "/etc/group"))
    return replace(found, groups=()) if security.strict_groups else found


def _stop_signal(name: str) -> int:
    """By name or number, as STOPSIGNAL and core/v1 Signal have it; SIGTERM unless it says."""
    if name.isdecimal():
        return int(name)
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    if base in ("SIGRTMIN", "SIGRTMAX") and (not sign or offset.isdecimal()):
        return signal.Signals[base] + int(f"{sign}{offset}" or 0)
    full = name if name.startswith("SIG") else f"SIG{name}"
    return signal.Signals[full] if full in signal.Signals.__members__ else signal.SIGTERM
