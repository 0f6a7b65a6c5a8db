"""Makes the volumes of pods on this node, keeps their files up to date, and removes every trace of them.

Every step may be repeated. What the agent cannot honour is a ConfigError for the containers that mount it; what is
missing now is a VolumeFault, and is tried again. Tokens that come due are renewed here, since nobody outside knows
when; a pod's volumes are worked on by one at a time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import structlog

from nodeagent.container_config import NodeFacts
from nodeagent.environment import ConfigError, Downward, expand, variables
from nodeagent.runtime import syscalls
from nodeagent.runtime.figures import DiskUsage
from nodeagent.runtime.interface import Mount
from nodeagent.runtime.usage import of_folder
from nodeagent.volumes.atomic_writer import write_payload
from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.folders import Folders
from nodeagent.volumes.host_path import check_host_path
from nodeagent.volumes.payload import Source, TokenKey
from nodeagent.volumes.persistent import Group, PersistentVolumes, Report, VolumeInputs
from nodeagent.volumes.plan import Files, HostPath, Plan, Scratch, plan_volume, unsupported_field
from nodeagent.volumes.pod_files import PodDns, hosts_file, kernel_hostname, resolv_conf_file
from nodeagent.volumes.removal import remove_tree
from nodeagent.volumes.sub_path import bind_sub_path, bind_tree
from nodeagent.volumes.tokens import IssueToken, TokenKeeper
from orch.api.pod.container import Container, VolumeMount
from orch.api.pod.spec import Pod
from orch.api.pod.volume import Volume
from orch.api.volume_binding import claim_name, is_bound, is_made_for
from orch.kit.clock import Clock
from orch.kit.threads import in_thread
from orch.kit.workqueue import WorkQueue

log = structlog.get_logger(__name__)

SCRATCH_MODE = 0o777
SCRATCH_GROUP_MODE = 0o2777
"""With an fsGroup: what is made inside belongs to the group."""
POD_FILE_MODE = 0o644
PRIVATE_MODE = 0o700
"""Of the folders above the volumes: nobody but root gets in by this way."""
NODE_HOSTS = Path("/etc/hosts")


class Volumes:
    """Implements the agent's `PodVolumes`. `run_dir` is on tmpfs."""

    def __init__(
        self,
        state_dir: Path,
        run_dir: Path,
        inputs: VolumeInputs,
        node: NodeFacts,
        dns: PodDns,
        issue_token: IssueToken,
        clock: Clock,
        report: Report,
    ) -> None:
        self._folders = Folders(state_dir / "pod-volumes", run_dir / "pod-volumes")
        self._inputs = inputs
        self._node = node
        self._dns = dns
        self._tokens = TokenKeeper(self._folders, issue_token, clock)
        self.persistent = PersistentVolumes(state_dir / "volumes", inputs, report)
        self._with_tokens: dict[str, Pod] = {}
        self._due = WorkQueue[str]()
        """Uids of pods whose tokens are to be looked at."""
        self._locks: dict[str, asyncio.Lock] = {}
        for folder in (self._folders.disk, self._folders.memory):
            folder.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)

    async def prepare(self, pod: Pod) -> None:
        """Makes all volumes of the pod, or brings them up to date. Raises VolumeFault after all that could be done."""
        async with self._locks.setdefault(pod.metadata.uid, asyncio.Lock()):
            await self._prepare_alone(pod)

    async def keep_tokens_fresh(self) -> None:
        """Until cancelled."""
        while True:
            uid = await self._due.get()
            try:
                await self._refresh(uid)
            finally:
                self._due.done(uid)

    def mounts(self, pod: Pod, container: Container, pod_ip: str) -> tuple[Mount, ...]:
        """For a container of a prepared pod. Raises ConfigError."""
        own = [self._mount(pod, container, index, pod_ip) for index in range(len(container.volume_mounts or ()))]
        taken = {mount.container_path.rstrip("/") for mount in own}
        files = self._pod_files(pod, container, pod_ip)
        return (*own, *(mount for mount in files if mount.container_path not in taken))

    async def remove(self, pod_uid: str) -> None:
        """Raises VolumeFault when something stays mounted. No error when there is nothing."""
        async with self._locks.setdefault(pod_uid, asyncio.Lock()):
            self._with_tokens.pop(pod_uid, None)
            self._tokens.forget(pod_uid)
            for folder in self._folders.of_pod(pod_uid):
                await in_thread(partial(remove_tree, folder))
            self.persistent.left()
        self._locks.pop(pod_uid, None)

    async def empty_dir_usage(self, pod: Pod) -> Mapping[str, DiskUsage]:
        """What the pod's emptyDirs hold on disk, by volume name, and its files in /etc under that path, which is no
        name of a volume. What is in memory counts as memory."""
        uid, volumes = pod.metadata.uid, pod.spec.volumes or ()
        folders = {v.name: self._folders.volume(uid, v) for v in volumes if v.empty_dir is not None}
        on_disk = {name: folder for name, folder in folders.items() if folder.is_relative_to(self._folders.disk)}
        on_disk["/etc"] = self._folders.pod_files(uid)
        return await in_thread(lambda: {name: of_folder(str(folder)) for name, folder in on_disk.items()})

    async def known(self) -> tuple[str, ...]:
        """Uids of the pods that have something here."""
        folders = (self._folders.disk, self._folders.memory)
        return tuple(sorted({name for folder in folders for name in os.listdir(folder)}))

    def volume_changed(self, name: str) -> None:
        self.persistent.changed(name)

    async def _refresh(self, uid: str) -> None:
        if uid not in self._with_tokens:
            return
        async with self._locks.setdefault(uid, asyncio.Lock()):
            pod = self._with_tokens.get(uid)
            if pod is None:
                return  # removed in the meantime
            try:
                await self._prepare_alone(pod)
            except VolumeFault as fault:
                log.warning("volumes_not_refreshed", pod_uid=uid, error=str(fault), next="its worker prepares again")

    async def _prepare_alone(self, pod: Pod) -> None:
        uid, tokens = pod.metadata.uid, await self._tokens.of_pod(pod)
        if tokens.due_in_s is not None:
            self._with_tokens[uid] = pod
            self._due.add_after(uid, tokens.due_in_s)
        faults = [fault async for fault in self._attach_claimed(pod)]
        faults += await in_thread(lambda: self._prepare(pod, tokens.texts))
        if faults:
            raise VolumeFault("; ".join(faults))

    async def _attach_claimed(self, pod: Pod) -> AsyncIterator[str]:
        """What is wrong with volumes that stand for claims, after all that could be done."""
        for volume in pod.spec.volumes or ():
            if name := claim_name(pod, volume):
                try:
                    await self._attach(pod, volume, name)
                except VolumeFault as fault:
                    yield f'MountVolume.SetUp failed for volume "{volume.name}" : {fault}'

    async def _attach(self, pod: Pod, volume: Volume, name: str) -> None:
        claim = self._inputs.claim(pod.metadata.namespace, name)
        if claim is None:
            raise VolumeFault(f'persistentvolumeclaim "{name}" not found')
        if volume.ephemeral is not None and not is_made_for(claim, pod):
            raise VolumeFault(f'PVC "{name}" was not created for pod "{pod.metadata.name}"')
        bound = self._inputs.persistent_volume(claim.spec.volume_name or "") if is_bound(claim) else None
        if bound is None:
            raise VolumeFault(f"error processing PVC {pod.metadata.namespace}/{name}: PVC is not bound on this node")
        target = self._folders.volume(pod.metadata.uid, volume)
        await self.persistent.attach(bound, target, group_of(pod), read_only=_is_read_only(volume))

    def _prepare(self, pod: Pod, tokens: Mapping[TokenKey, str | VolumeFault]) -> list[str]:
        """What is wrong, after all that could be done."""
        downward = Downward(self._node.name, self._node.address, "", self._node.allocatable)
        source = Source(pod, self._inputs, downward, tokens)
        faults = []
        for volume in pod.spec.volumes or ():
            if unsupported_field(volume) or claim_name(pod, volume):
                continue  # the containers that mount it say so; or it is attached
            try:
                self._make(pod.metadata.uid, volume, plan_volume(volume, source, self._node.memory_bytes))
            except VolumeFault as fault:
                faults.append(f'MountVolume.SetUp failed for volume "{volume.name}" : {fault}')
        return faults

    def _make(self, pod_uid: str, volume: Volume, plan: Plan) -> None:
        folder = self._folders.volume(pod_uid, volume)
        try:
            match plan:
                case HostPath(path, kind):
                    check_host_path(path, kind)
                case Scratch():
                    _make_scratch(folder, plan)
                case Files(files, group):
                    folder.mkdir(parents=True, exist_ok=True)
                    if write_payload(folder, files, group):
                        log.info("volume_written", pod_uid=pod_uid, volume=volume.name, files=len(files))
        except OSError as error:
            raise VolumeFault(f"{error.filename or folder}: {error.strerror}") from error

    def _mount(self, pod: Pod, container: Container, index: int, pod_ip: str) -> Mount:
        mount = (container.volume_mounts or ())[index]
        volume = next((found for found in pod.spec.volumes or () if found.name == mount.name), None)
        if volume is None:
            raise ConfigError(f'volumeMounts[{index}] names volume "{mount.name}", which the pod does not have')
        if refused := unsupported_field(volume):
            raise ConfigError(f"{refused} is not supported by this node")
        source = self._folders.volume(pod.metadata.uid, volume)
        sub_path = self._sub_path(pod, container, mount, pod_ip)
        if sub_path:
            source = self._bind_sub_path(pod, container, index, source, sub_path)
        if mount.recursive_read_only in ("Enabled", "IfPossible"):
            source = self._bind_read_only(pod, container, index, source)
        claimed = bool(claim_name(pod, volume)) and not _is_read_only(volume)
        writable = volume.empty_dir is not None or volume.host_path is not None or claimed
        return Mount(
            host_path=str(source),
            container_path=mount.mount_path,
            read_only=bool(mount.read_only) or not writable,
            propagation=mount.mount_propagation or "None",
        )

    def _sub_path(self, pod: Pod, container: Container, mount: VolumeMount, pod_ip: str) -> str:
        if not mount.sub_path_expr:
            return mount.sub_path or ""
        downward = Downward(self._node.name, self._node.address, pod_ip, self._node.allocatable)
        expanded = expand(mount.sub_path_expr, variables(pod, container, self._inputs, downward))
        if "$(" in expanded:
            raise ConfigError(f"subPathExpr {mount.sub_path_expr!r} names a variable that the container does not have")
        return expanded

    def _bind_sub_path(self, pod: Pod, container: Container, index: int, volume: Path, sub_path: str) -> Path:
        target = self._folders.sub_path(pod.metadata.uid, container.name, index)
        try:
            bind_sub_path(volume, sub_path, target)
        except OSError as error:
            raise ConfigError(f"failed to prepare subPath {sub_path!r} of volume {volume.name}: {error}") from error
        return target

    def _bind_read_only(self, pod: Pod, container: Container, index: int, source: Path) -> Path:
        """With all that is mounted below, which no option of the OCI runtimes does alike. An older kernel cannot."""
        target = self._folders.sub_path(pod.metadata.uid, container.name, index)
        mount = (container.volume_mounts or ())[index]
        try:
            if source != target:
                bind_tree(source, target)
            syscalls.make_read_only(str(target))
        except OSError as error:
            if mount.recursive_read_only == "Enabled":
                raise ConfigError(f"volumeMounts[{index}].recursiveReadOnly: {target}: {error.strerror}") from error
            return source
        return target

    def _pod_files(self, pod: Pod, container: Container, pod_ip: str) -> list[Mount]:
        domain, node = self._dns.domain, self._node.name
        node_hosts = NODE_HOSTS.read_text() if pod.spec.host_network and NODE_HOSTS.exists() else ""
        texts = {
            "hosts": hosts_file(pod, pod_ip, domain, node, node_hosts),
            "hostname": kernel_hostname(pod, node, domain) + "\n",
            "resolv.conf": resolv_conf_file(pod, self._dns),
        }
        context = container.security_context
        read_only = bool(context and context.read_only_root_filesystem)
        paths = {name: self._folders.pod_files(pod.metadata.uid) / name for name in texts}
        for name, text in texts.items():
            _write_in_place(paths[name], text.encode())
        return [Mount(str(path), f"/etc/{name}", read_only) for name, path in paths.items()]


def group_of(pod: Pod) -> Group | None:
    context = pod.spec.security_context
    if context is None or context.fs_group is None:
        return None
    return Group(context.fs_group, context.fs_group_change_policy == "OnRootMismatch")


def _is_read_only(volume: Volume) -> bool:
    return volume.persistent_volume_claim is not None and bool(volume.persistent_volume_claim.read_only)


def _make_scratch(folder: Path, plan: Scratch) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if plan.memory_bytes is not None and not os.path.ismount(folder):
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("tmpfs", str(folder), "tmpfs", flags, f"size={plan.memory_bytes},mode=0777")
    if plan.group is not None:
        os.chown(folder, -1, plan.group)
    folder.chmod(SCRATCH_MODE if plan.group is None else SCRATCH_GROUP_MODE)


def _write_in_place(path: Path, data: bytes) -> None:
    """The file that containers have mounted is this one: it is rewritten, not replaced. They may have written anything
    into it, of any size."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _holds(path, data):
        path.write_bytes(data)
        path.chmod(POD_FILE_MODE)


def _holds(path: Path, data: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(data) + 1) == data
    except FileNotFoundError:
        return False
