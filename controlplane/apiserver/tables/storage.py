"""The columns of volumes, claims and storage classes."""

from collections.abc import Sequence
from datetime import datetime

from controlplane.apiserver.tables.columns import AGE, NAME, UNKNOWN, UNSET, Cell, Column, Printer, created, wide
from orch.api.meta import Object
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.storageclass import StorageClass, is_default

TERMINATING = "Terminating"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def volume_cells(volume: PersistentVolume, now: datetime) -> list[Cell]:
    spec, claim = volume.spec, volume.spec.claim_ref
    return [
        volume.metadata.name,
        str((spec.capacity or {}).get("storage", "")),
        _modes(spec.access_modes),
        spec.persistent_volume_reclaim_policy or "",
        _phase(volume, volume.status.phase),
        f"{claim.namespace or ''}/{claim.name or ''}" if claim else "",
        spec.storage_class_name or "",
        spec.volume_attributes_class_name or UNSET,
        volume.status.reason or "",
        created(volume, now),
        spec.volume_mode or UNSET,
    ]


def claim_cells(claim: PersistentVolumeClaim, now: datetime) -> list[Cell]:
    spec, status = claim.spec, claim.status
    bound = bool(spec.volume_name)
    return [
        claim.metadata.name,
        _phase(claim, status.phase),
        spec.volume_name or "",
        str((status.capacity or {}).get("storage", "")) if bound else "",
        _modes(status.access_modes) if bound else "",
        spec.storage_class_name or "",
        spec.volume_attributes_class_name or UNSET,
        created(claim, now),
        spec.volume_mode or UNSET,
    ]


def storage_class_cells(storage_class: StorageClass, now: datetime) -> list[Cell]:
    name = storage_class.metadata.name
    return [
        f"{name} (default)" if is_default(storage_class) else name,
        storage_class.provisioner,
        storage_class.reclaim_policy or "",
        storage_class.volume_binding_mode or "",
        bool(storage_class.allow_volume_expansion),
        created(storage_class, now),
    ]


def _modes(modes: Sequence[str] | None) -> str:
    """In the order in which Kubernetes lists them, whatever was written."""
    return ",".join(short for name, short in _MODES.items() if name in (modes or ()))


def _phase(obj: Object, phase: str | None) -> str:
    return TERMINATING if obj.metadata.deletion_timestamp is not None else phase or UNKNOWN


_ATTRIBUTES = Column("VolumeAttributesClass")
PERSISTENTVOLUMES = Printer(
    (
        NAME,
        *map(Column, ("Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass")),
        _ATTRIBUTES,
        Column("Reason"),
        AGE,
        wide("VolumeMode"),
    ),
    volume_cells,
)
PERSISTENTVOLUMECLAIMS = Printer(
    (
        NAME,
        *map(Column, ("Status", "Volume", "Capacity", "Access Modes", "StorageClass")),
        _ATTRIBUTES,
        AGE,
        wide("VolumeMode"),
    ),
    claim_cells,
)
STORAGECLASSES = Printer(
    (
        NAME,
        *map(Column, ("Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion")),
        AGE,
    ),
    storage_class_cells,
)
