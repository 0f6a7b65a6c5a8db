"""PersistentVolume (core/v1), all sources."""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import field

from orch.api import quantity
from orch.api.base import ApiStruct, Int32, Quantity, Time, always
from orch.api.causes import Causes
from orch.api.change import change, fill, fill_zero, into
from orch.api.formats import dns_subdomain_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.persistentvolumeclaim import STORAGE, VOLUME_MODES, access_mode_rules
from orch.api.pod import volume as v
from orch.api.pod.placement_rules import node_selector_rules
from orch.api.schema import fields_of
from orch.api.shared import NodeSelector, ObjectReference
from orch.errors import Cause


class SecretReference(ApiStruct):
    is_atomic: ClassVar[bool] = True
    name: str | None = None
    namespace: str | None = None


class AzureFilePersistentVolumeSource(ApiStruct):
    read_only: bool | None = None
    secret_name: str = always("")
    secret_namespace: str | None = None
    share_name: str = always("")


class CSIPersistentVolumeSource(ApiStruct):
    controller_expand_secret_ref: SecretReference | None = None
    controller_publish_secret_ref: SecretReference | None = None
    driver: str = always("")
    fs_type: str | None = None
    node_expand_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    node_stage_secret_ref: SecretReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] | None = None
    volume_handle: str = always("")


class CephFSPersistentVolumeSource(ApiStruct):
    monitors: tuple[str, ...] = always(())
    path: str | None = None
    read_only: bool | None = None
    secret_file: str | None = None
    secret_ref: SecretReference | None = None
    user: str | None = None


class CinderPersistentVolumeSource(ApiStruct):
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    volume_id: str = always("", name="volumeID")


class FlexPersistentVolumeSource(ApiStruct):
    driver: str = always("")
    fs_type: str | None = None
    options: dict[str, str] | None = None
    read_only: bool | None = None
    secret_ref: SecretReference | None = None


class GlusterfsPersistentVolumeSource(ApiStruct):
    endpoints: str = always("")
    endpoints_namespace: str | None = None
    path: str = always("")
    read_only: bool | None = None


class ISCSIPersistentVolumeSource(ApiStruct):
    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    fs_type: str | None = None
    initiator_name: str | None = None
    iqn: str = always("")
    iscsi_interface: str | None = None
    lun: Int32 = always(0)
    portals: tuple[str, ...] | None = None
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    target_portal: str = always("")


class LocalVolumeSource(ApiStruct):
    fs_type: str | None = None
    path: str = always("")


class RBDPersistentVolumeSource(ApiStruct):
    fs_type: str | None = None
    image: str = always("")
    keyring: str | None = None
    monitors: tuple[str, ...] = always(())
    pool: str | None = None
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    user: str | None = None


class ScaleIOPersistentVolumeSource(ApiStruct):
    fs_type: str | None = None
    gateway: str = always("")
    protection_domain: str | None = None
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    ssl_enabled: bool | None = None
    storage_mode: str | None = None
    storage_pool: str | None = None
    system: str = always("")
    volume_name: str | None = None


class StorageOSPersistentVolumeSource(ApiStruct):
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: ObjectReference | None = None
    volume_name: str | None = None
    volume_namespace: str | None = None


class VolumeNodeAffinity(ApiStruct):
    required: NodeSelector | None = None


class PersistentVolumeSource(ApiStruct):
    """The members of a PersistentVolumeSpec of which exactly one is set."""

    aws_elastic_block_store: v.AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: v.AzureDiskVolumeSource | None = None
    azure_file: AzureFilePersistentVolumeSource | None = None
    cephfs: CephFSPersistentVolumeSource | None = None
    cinder: CinderPersistentVolumeSource | None = None
    csi: CSIPersistentVolumeSource | None = None
    fc: v.FCVolumeSource | None = None
    flex_volume: FlexPersistentVolumeSource | None = None
    flocker: v.FlockerVolumeSource | None = None
    gce_persistent_disk: v.GCEPersistentDiskVolumeSource | None = None
    glusterfs: GlusterfsPersistentVolumeSource | None = None
    host_path: v.HostPathVolumeSource | None = None
    iscsi: ISCSIPersistentVolumeSource | None = None
    local: LocalVolumeSource | None = None
    nfs: v.NFSVolumeSource | None = None
    photon_persistent_disk: v.PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: v.PortworxVolumeSource | None = None
    quobyte: v.QuobyteVolumeSource | None = None
    rbd: RBDPersistentVolumeSource | None = None
    scale_io: ScaleIOPersistentVolumeSource | None = field(default=None, name="scaleIO")
    storageos: StorageOSPersistentVolumeSource | None = None
    vsphere_volume: v.VsphereVirtualDiskVolumeSource | None = None


class PersistentVolumeSpec(PersistentVolumeSource):
    access_modes: tuple[str, ...] | None = None
    capacity: dict[str, Quantity] | None = None
    claim_ref: ObjectReference | None = None
    mount_options: tuple[str, ...] | None = None
    node_affinity: VolumeNodeAffinity | None = None
    persistent_volume_reclaim_policy: str | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None


class PersistentVolumeStatus(ApiStruct):
    last_phase_transition_time: Time | None = None
    message: str | None = None
    phase: str | None = None
    reason: str | None = None


class PersistentVolume(Object):
    api_version: str = always("v1")
    kind: str = always("PersistentVolume")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: PersistentVolumeSpec = always(PersistentVolumeSpec())
    status: PersistentVolumeStatus = always(PersistentVolumeStatus())


RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_SOURCES = fields_of(PersistentVolumeSource)


def persistentvolume_defaults(volume: PersistentVolume) -> PersistentVolume:
    spec = fill(volume.spec, persistent_volume_reclaim_policy="Retain", volume_mode="Filesystem")
    spec = change(
        spec,
        capacity=quantity.canonical_map(spec.capacity),
        host_path=into(spec.host_path, lambda s: fill(s, type="")),
        iscsi=into(spec.iscsi, lambda s: fill_zero(s, iscsi_interface="default")),
        rbd=into(spec.rbd, lambda s: fill_zero(s, pool="rbd", user="admin", keyring="/etc/ceph/keyring")),
        scale_io=into(spec.scale_io, lambda s: fill_zero(s, storage_mode="ThinProvisioned", fs_type="xfs")),
        azure_disk=into(
            spec.azure_disk,
            lambda s: fill(s, caching_mode="ReadWrite", kind="Shared", fs_type="ext4", read_only=False),
        ),
    )
    return change(volume, spec=spec, status=fill_zero(volume.status, phase="Pending"))


def validate_persistentvolume(volume: PersistentVolume) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, volume.metadata, namespaced=False)
    spec = volume.spec
    access_mode_rules(causes, "spec.accessModes", spec.access_modes or (), "")
    _capacity_rules(causes, "spec.capacity", spec.capacity or {})
    causes.maybe_one_of("spec.persistentVolumeReclaimPolicy", spec.persistent_volume_reclaim_policy, RECLAIM_POLICIES)
    causes.maybe_one_of("spec.volumeMode", spec.volume_mode, VOLUME_MODES)
    if spec.storage_class_name:
        causes.check("spec.storageClassName", spec.storage_class_name, dns_subdomain_problem(spec.storage_class_name))
    if spec.node_affinity is not None:
        if spec.node_affinity.required is None:
            causes.required("spec.nodeAffinity.required", "must specify required node constraints")
        else:
            node_selector_rules(causes, "spec.nodeAffinity.required", spec.node_affinity.required)
    _source_rules(causes, spec)
    return causes.found


def validate_persistentvolume_update(new: PersistentVolume, old: PersistentVolume) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if any(getattr(new.spec, f.attribute) != getattr(old.spec, f.attribute) for f in _SOURCES.values()):
        causes.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    causes.immutable("spec.volumeMode", new.spec.volume_mode, old.spec.volume_mode)
    if old.spec.node_affinity is not None:
        causes.immutable("spec.nodeAffinity", new.spec.node_affinity, old.spec.node_affinity)
    return causes.found


def _capacity_rules(causes: Causes, path: str, capacity: dict[str, Quantity]) -> None:
    if not capacity:
        causes.required(path)
    elif set(capacity) != {STORAGE}:
        causes.not_supported(path, capacity, (STORAGE,))
    for name, amount in capacity.items():
        if quantity.parse(amount) <= 0:
            causes.invalid(f"{path}[{name}]", amount, "must be greater than zero")


def _source_rules(causes: Causes, spec: PersistentVolumeSpec) -> None:
    given = [name for name, source in _SOURCES.items() if getattr(spec, source.attribute) is not None]
    if not given:
        causes.required("spec", "must specify a volume type")
    for name in given[1:]:
        causes.forbidden(f"spec.{name}", "may not specify more than 1 volume type")
    for name in given[:1]:
        source: ApiStruct = getattr(spec, _SOURCES[name].attribute)
        for inner in fields_of(source.__class__).values():
            if inner.always and inner.name != "lun" and not getattr(source, inner.attribute):
                causes.required(f"spec.{name}.{inner.name}")
    for name, path in (("hostPath", spec.host_path), ("local", spec.local)):
        if path is not None and ".." in path.path.split("/"):
            causes.invalid(f"spec.{name}.path", path.path, "must not contain '..'")
    if spec.host_path is not None and spec.host_path.path == "/" and spec.persistent_volume_reclaim_policy == "Recycle":
        causes.forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    if spec.local is not None and spec.node_affinity is None:
        causes.required("metadata.annotations", "Local volume requires node affinity")
