"""What nodes say of their volumes, into the API: how large a claim's volume has become, and that its data is gone.

A node is heard on the volumes that its own name is the node affinity of. Its word that the data is gone takes the
deletion finalizer away, and only of a volume that is being deleted.
"""

import structlog
from msgspec.structs import replace

from controlplane.nodeplane.newest import NewestWriter
from orch.api import quantity
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import BOUND, STORAGE, PersistentVolumeClaim
from orch.api.volume_binding import DELETION_FINALIZER, is_for, node_of
from orch.client.client import Client
from orch.client.informer import Informers
from protos import node_pb2

log = structlog.get_logger(__name__)

RESIZE_CONDITIONS = frozenset({"Resizing", "FileSystemResizePending"})


class VolumeWriter:
    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._volumes, self._claims = informers.of(PERSISTENTVOLUMES), informers.of(PERSISTENTVOLUMECLAIMS)
        self._writer = NewestWriter[str, node_pb2.VolumeReport]("volume", self._write)

    def submit(self, node: str, report: node_pb2.VolumeReport) -> None:
        volume = self._volumes.by_uid(report.uid)
        if volume is None or node_of(volume) != node:
            log.info("report_of_unknown_volume", node=node, volume=report.name, uid=report.uid)
            return
        self._writer.submit(report.uid, report)

    async def run(self) -> None:
        await self._writer.run()

    async def _write(self, uid: str, report: node_pb2.VolumeReport) -> None:
        volume = self._volumes.by_uid(uid)
        if volume is None:
            return
        if report.removed:
            await self._let_go(volume)
            return
        claim = self._claim_of(volume)
        grown = claim_grown(claim, report.capacity_bytes) if claim is not None else None
        if grown is not None:
            await self._client.update(PERSISTENTVOLUMECLAIMS, grown, subresource="status")

    async def _let_go(self, volume: PersistentVolume) -> None:
        finalizers = volume.metadata.finalizers or ()
        if volume.metadata.deletion_timestamp is None or DELETION_FINALIZER not in finalizers:
            return
        left = tuple(each for each in finalizers if each != DELETION_FINALIZER)
        log.info("volume_removed", volume=volume.metadata.name)
        await self._client.update(
            PERSISTENTVOLUMES, replace(volume, metadata=replace(volume.metadata, finalizers=left or None))
        )

    def _claim_of(self, volume: PersistentVolume) -> PersistentVolumeClaim | None:
        reference = volume.spec.claim_ref
        claim = self._claims.get(reference.namespace or "", reference.name or "") if reference is not None else None
        return claim if claim is not None and reference is not None and is_for(reference, claim) else None


def claim_grown(claim: PersistentVolumeClaim, capacity_bytes: int) -> PersistentVolumeClaim | None:
    """The claim whose status says the size; None when it does already, or is not bound yet."""
    status = claim.status
    held = quantity.value((status.capacity or {}).get(STORAGE, 0))
    if status.phase != BOUND or capacity_bytes <= held:
        return None
    left = tuple(each for each in status.conditions or () if each.type not in RESIZE_CONDITIONS)
    asked = (claim.spec.resources.requests or {}).get(STORAGE, 0)
    exact = asked if quantity.value(asked) == capacity_bytes else quantity.from_value(capacity_bytes)
    return replace(claim, status=replace(status, capacity={STORAGE: exact}, conditions=left or None))
