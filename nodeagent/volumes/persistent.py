"""The persistent volumes of this node: mounted while pods use them, grown, and removed when their object says so.

Whether a volume is in use is read from the kernel's mount table, so that a restarted agent knows it too. A volume's
data goes only when its object is being deleted, its reclaim policy is Delete, no claim protects it and no pod uses it;
one whose object is simply gone stays on the disk.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from nodeagent.environment import Inputs
from nodeagent.runtime import syscalls
from nodeagent.volumes.disk import Disk
from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.host_path import check_host_path
from nodeagent.volumes.ownership import give_to_group
from nodeagent.volumes.removal import devices_mounted
from orch.api import quantity
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.volume_binding import DELETION_FINALIZER, VOLUME_FINALIZER, capacity, is_managed
from orch.kit.backoff import Backoff
from orch.kit.threads import in_thread
from orch.kit.workqueue import WorkQueue
from protos import node_pb2

log = structlog.get_logger(__name__)

RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S = 1.0, 60.0
Report = Callable[[node_pb2.VolumeReport], None]


class VolumeInputs(Inputs, Protocol):
    """The objects that volumes are made from, as the node holds them."""

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None: ...

    def persistent_volume(self, name: str) -> PersistentVolume | None: ...


@dataclass(frozen=True, slots=True)
class Group:
    """The pod's fsGroup."""

    number: int
    on_root_mismatch: bool


class PersistentVolumes:
    """`run` settles volumes that changed or that a pod has left; its owner keeps it as a task."""

    def __init__(self, folder: Path, inputs: VolumeInputs, report: Report) -> None:
        self._folder, self._inputs, self._report = folder, inputs, report
        self._locks = WeakValueDictionary[str, asyncio.Lock]()
        """By volume, while somebody holds it or waits for it."""
        self._queue = WorkQueue[str]()
        self._backoff = Backoff[str](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)

    async def attach(self, volume: PersistentVolume, target: Path, group: Group | None, *, read_only: bool) -> None:
        """Shows the volume at `target`, for one pod. Raises VolumeFault."""
        name = volume.metadata.name
        async with self._locks.setdefault(name, asyncio.Lock()):
            try:
                current = self._inputs.persistent_volume(name)  # it may have changed while another was at it
                if current is None or current.metadata.uid != volume.metadata.uid:
                    raise VolumeFault(f"volume {name} is gone")
                await in_thread(partial(self._attach, current, target, group, read_only))
            except OSError as error:
                raise VolumeFault(f"{error.filename or name}: {error.strerror}") from error

    def changed(self, name: str) -> None:
        """The volume's object came or changed."""
        self._queue.add(name)

    def left(self) -> None:
        """A pod that may have used volumes is gone."""
        if self._folder.exists():
            for name in os.listdir(self._folder):
                self._queue.add(name)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            name = await self._queue.get()
            try:
                async with self._locks.setdefault(name, asyncio.Lock()):
                    await in_thread(partial(self._settle, name))
                self._backoff.forget(name)
            except (VolumeFault, OSError) as error:
                delay_s = self._backoff.next_s(name)
                log.warning("volume_not_settled", volume=name, error=str(error), retry_in_s=delay_s)
                self._queue.add_after(name, delay_s)
            finally:
                self._queue.done(name)

    def _attach(self, volume: PersistentVolume, target: Path, group: Group | None, read_only: bool) -> None:
        if os.path.ismount(target):
            return
        source = self._source(volume)
        if group is not None and volume.spec.host_path is None:  # as kubelet: a host path is nobody's to give away
            give_to_group(source, group.number, on_root_mismatch=group.on_root_mismatch, read_only=read_only)
        target.mkdir(parents=True, exist_ok=True)
        syscalls.mount(str(source), str(target), flags=syscalls.MS_BIND | syscalls.MS_REC)

    def _source(self, volume: PersistentVolume) -> Path:
        spec, name = volume.spec, volume.metadata.name
        if spec.volume_mode == "Block":
            raise VolumeFault(f"volume {name} has volumeMode Block, but is specified in volumeMounts")
        if is_managed(volume):
            return self._mounted(volume)
        if spec.host_path is not None:
            check_host_path(spec.host_path.path, spec.host_path.type or "")
            return Path(spec.host_path.path)
        if spec.local is not None:
            check_host_path(spec.local.path, "Directory")
            return Path(spec.local.path)
        raise VolumeFault(f"volume {name} is of a kind that this node cannot mount (hostPath, local, its own)")

    def _mounted(self, volume: PersistentVolume) -> Path:
        if volume.metadata.deletion_timestamp is not None:
            raise VolumeFault(f"volume {volume.metadata.name} is being deleted")
        disk = self._disk(volume.metadata.name)
        disk.mount(_bytes(volume), volume.spec.mount_options or ())
        self._tell(volume, disk)
        return disk.data

    def _settle(self, name: str) -> None:
        disk, volume = self._disk(name), self._inputs.persistent_volume(name)
        if disk.is_mounted and devices_mounted().count(os.stat(disk.data).st_dev) < 2:
            disk.unmount()
            log.info("volume_unmounted", volume=name)
        if volume is None or not is_managed(volume):
            return
        if is_to_be_removed(volume):
            self._remove(volume, disk)
        elif disk.size_bytes:
            if not disk.grow(_bytes(volume)) and not disk.is_mounted:
                raise VolumeFault(f"{disk.image} is still held by a loop device, and cannot grow")
            self._tell(volume, disk)

    def _remove(self, volume: PersistentVolume, disk: Disk) -> None:
        if disk.is_mounted or disk.device():
            raise VolumeFault(f"{disk.folder} is still in use, and cannot be removed")
        disk.remove()
        log.info("volume_removed", volume=volume.metadata.name)
        self._report(node_pb2.VolumeReport(name=volume.metadata.name, uid=volume.metadata.uid, removed=True))

    def _tell(self, volume: PersistentVolume, disk: Disk) -> None:
        meta = volume.metadata
        self._report(node_pb2.VolumeReport(name=meta.name, uid=meta.uid, capacity_bytes=disk.usable_bytes))

    def _disk(self, name: str) -> Disk:
        return Disk(self._folder / name)


def is_to_be_removed(volume: PersistentVolume) -> bool:
    finalizers = volume.metadata.finalizers or ()
    return (
        volume.metadata.deletion_timestamp is not None
        and volume.spec.persistent_volume_reclaim_policy == "Delete"
        and DELETION_FINALIZER in finalizers
        and VOLUME_FINALIZER not in finalizers
    )


def _bytes(volume: PersistentVolume) -> int:
    return quantity.value(capacity(volume))
