"""Claims, volumes and classes for tests."""

from typing import Any

from msgspec.structs import replace

from orch.api.meta import ObjectMeta
from orch.api.persistentvolume import (
    LocalVolumeSource,
    PersistentVolume,
    PersistentVolumeSpec,
    PersistentVolumeStatus,
    VolumeNodeAffinity,
)
from orch.api.persistentvolumeclaim import PersistentVolumeClaim, PersistentVolumeClaimStatus
from orch.api.pod.spec import Pod
from orch.api.pod.volume import (
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource,
    Volume,
    VolumeResourceRequirements,
)
from orch.api.shared import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from orch.api.storageclass import StorageClass
from orch.api.volume_binding import BIND_COMPLETED, CLAIM_FINALIZER, HOSTNAME, PROVISIONER, VOLUME_FINALIZER
from tests.builders import meta, pod

MODES = ("ReadWriteOnce",)


def storage_class(name: str = "local", **fields: Any) -> StorageClass:
    known: dict[str, Any] = {
        "provisioner": PROVISIONER, "reclaim_policy": "Delete", "volume_binding_mode": "WaitForFirstConsumer",
        "allow_volume_expansion": True,
    }  # fmt: skip
    return StorageClass(metadata=meta(name, namespace=""), **(known | fields))


def claim(
    name: str = "data",
    *,
    size: str = "1Gi",
    storage_class: str | None = "local",
    modes: tuple[str, ...] = MODES,
    volume: str | None = None,
    phase: str = "Pending",
    annotations: dict[str, str] | None = None,
    capacity: str | None = None,
    spec: dict[str, Any] | None = None,
    **metadata: Any,
) -> PersistentVolumeClaim:
    return PersistentVolumeClaim(
        metadata=meta(name, annotations=annotations, finalizers=(CLAIM_FINALIZER,), **metadata),
        spec=PersistentVolumeClaimSpec(
            access_modes=modes,
            resources=VolumeResourceRequirements(requests={"storage": size}),
            storage_class_name=storage_class,
            volume_mode="Filesystem",
            volume_name=volume,
            **(spec or {}),
        ),
        status=PersistentVolumeClaimStatus(phase=phase, capacity={"storage": capacity} if capacity else None),
    )


def bound_claim(name: str = "data", volume: str = "pv", **fields: Any) -> PersistentVolumeClaim:
    known: dict[str, Any] = {"phase": "Bound", "annotations": {BIND_COMPLETED: "yes"}, "capacity": "1Gi"}
    return claim(name, volume=volume, **(known | fields))


def on_node(host: str) -> VolumeNodeAffinity:
    here = NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(host,))
    return VolumeNodeAffinity(required=NodeSelector(node_selector_terms=(NodeSelectorTerm(match_expressions=(here,)),)))


def volume(
    name: str = "pv",
    *,
    size: str = "1Gi",
    storage_class: str = "local",
    modes: tuple[str, ...] = MODES,
    host: str = "",
    phase: str = "Available",
    policy: str = "Retain",
    spec: dict[str, Any] | None = None,
    **metadata: Any,
) -> PersistentVolume:
    """A local volume below /srv that an administrator made."""
    known = {"finalizers": (VOLUME_FINALIZER,)} | metadata
    fields = {"local": LocalVolumeSource(path=f"/srv/{name}")} | (spec or {})
    return PersistentVolume(
        metadata=meta(name, namespace="", **known),
        spec=PersistentVolumeSpec(
            access_modes=modes,
            capacity={"storage": size},
            node_affinity=on_node(host) if host else None,
            persistent_volume_reclaim_policy=policy,
            storage_class_name=storage_class,
            volume_mode="Filesystem",
            **fields,
        ),
        status=PersistentVolumeStatus(phase=phase),
    )


def pod_with(*claims: str, name: str = "pod", **fields: Any) -> Pod:
    made = pod(name, **fields)
    volumes = tuple(
        Volume(name=each, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=each)) for each in claims
    )
    return replace(made, spec=replace(made.spec, volumes=volumes))


def plain_meta(name: str, namespace: str = "") -> ObjectMeta:
    """As a user writes it."""
    return ObjectMeta(name=name, namespace=namespace)
