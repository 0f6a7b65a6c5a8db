"""Volumes of a pod, all sources (core/v1)."""

from msgspec import field

from orch.api.base import ApiStruct, Int32, Int64, Quantity, always
from orch.api.meta import LabelSelector, ObjectMeta
from orch.api.pod.container import ObjectFieldSelector, ResourceFieldSelector
from orch.api.shared import (
    LocalObjectReference,
    TypedLocalObjectReference,
    TypedObjectReference,
)


class AWSElasticBlockStoreVolumeSource(ApiStruct):
    fs_type: str | None = None
    partition: Int32 | None = None
    read_only: bool | None = None
    volume_id: str = always("", name="volumeID")


class AzureDiskVolumeSource(ApiStruct):
    caching_mode: str | None = None
    disk_name: str = always("")
    disk_uri: str = always("", name="diskURI")
    fs_type: str | None = None
    kind: str | None = None
    read_only: bool | None = None


class AzureFileVolumeSource(ApiStruct):
    read_only: bool | None = None
    secret_name: str = always("")
    share_name: str = always("")


class CSIVolumeSource(ApiStruct):
    driver: str = always("")
    fs_type: str | None = None
    node_publish_secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] | None = None


class CephFSVolumeSource(ApiStruct):
    monitors: tuple[str, ...] = always(())
    path: str | None = None
    read_only: bool | None = None
    secret_file: str | None = None
    secret_ref: LocalObjectReference | None = None
    user: str | None = None


class CinderVolumeSource(ApiStruct):
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_id: str = always("", name="volumeID")


class ClusterTrustBundleProjection(ApiStruct):
    label_selector: LabelSelector | None = None
    name: str | None = None
    optional: bool | None = None
    path: str = always("")
    signer_name: str | None = None


class KeyToPath(ApiStruct):
    key: str = always("")
    mode: Int32 | None = None
    path: str = always("")


class ConfigMapProjection(ApiStruct):
    items: tuple[KeyToPath, ...] | None = None
    name: str | None = None
    optional: bool | None = None


class ConfigMapVolumeSource(ApiStruct):
    default_mode: Int32 | None = None
    items: tuple[KeyToPath, ...] | None = None
    name: str | None = None
    optional: bool | None = None


class DownwardAPIVolumeFile(ApiStruct):
    field_ref: ObjectFieldSelector | None = None
    mode: Int32 | None = None
    path: str = always("")
    resource_field_ref: ResourceFieldSelector | None = None


class DownwardAPIProjection(ApiStruct):
    items: tuple[DownwardAPIVolumeFile, ...] | None = None


class DownwardAPIVolumeSource(ApiStruct):
    default_mode: Int32 | None = None
    items: tuple[DownwardAPIVolumeFile, ...] | None = None


class EmptyDirVolumeSource(ApiStruct):
    medium: str | None = None
    size_limit: Quantity | None = None


class VolumeResourceRequirements(ApiStruct):
    limits: dict[str, Quantity] | None = None
    requests: dict[str, Quantity] | None = None


class PersistentVolumeClaimSpec(ApiStruct):
    access_modes: tuple[str, ...] | None = None
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: VolumeResourceRequirements = always(VolumeResourceRequirements())
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None
    volume_name: str | None = None


class PersistentVolumeClaimTemplate(ApiStruct):
    metadata: ObjectMeta | None = None
    spec: PersistentVolumeClaimSpec = always(PersistentVolumeClaimSpec())


class EphemeralVolumeSource(ApiStruct):
    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class FCVolumeSource(ApiStruct):
    fs_type: str | None = None
    lun: Int32 | None = None
    read_only: bool | None = None
    target_wwns: tuple[str, ...] | None = field(default=None, name="targetWWNs")
    wwids: tuple[str, ...] | None = None


class FlexVolumeSource(ApiStruct):
    driver: str = always("")
    fs_type: str | None = None
    options: dict[str, str] | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None


class FlockerVolumeSource(ApiStruct):
    dataset_name: str | None = None
    dataset_uuid: str | None = field(default=None, name="datasetUUID")


class GCEPersistentDiskVolumeSource(ApiStruct):
    fs_type: str | None = None
    partition: Int32 | None = None
    pd_name: str = always("")
    read_only: bool | None = None


class GitRepoVolumeSource(ApiStruct):
    directory: str | None = None
    repository: str = always("")
    revision: str | None = None


class GlusterfsVolumeSource(ApiStruct):
    endpoints: str = always("")
    path: str = always("")
    read_only: bool | None = None


class HostPathVolumeSource(ApiStruct):
    path: str = always("")
    type: str | None = None


class ISCSIVolumeSource(ApiStruct):
    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    fs_type: str | None = None
    initiator_name: str | None = None
    iqn: str = always("")
    iscsi_interface: str | None = None
    lun: Int32 = always(0)
    portals: tuple[str, ...] | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    target_portal: str = always("")


class ImageVolumeSource(ApiStruct):
    pull_policy: str | None = None
    reference: str | None = None


class NFSVolumeSource(ApiStruct):
    path: str = always("")
    read_only: bool | None = None
    server: str = always("")


class PersistentVolumeClaimVolumeSource(ApiStruct):
    claim_name: str = always("")
    read_only: bool | None = None


class PhotonPersistentDiskVolumeSource(ApiStruct):
    fs_type: str | None = None
    pd_id: str = always("", name="pdID")


class PodCertificateProjection(ApiStruct):
    certificate_chain_path: str | None = None
    credential_bundle_path: str | None = None
    key_path: str | None = None
    key_type: str = always("")
    max_expiration_seconds: Int32 | None = None
    signer_name: str = always("")


class PortworxVolumeSource(ApiStruct):
    fs_type: str | None = None
    read_only: bool | None = None
    volume_id: str = always("", name="volumeID")


class SecretProjection(ApiStruct):
    items: tuple[KeyToPath, ...] | None = None
    name: str | None = None
    optional: bool | None = None


class ServiceAccountTokenProjection(ApiStruct):
    audience: str | None = None
    expiration_seconds: Int64 | None = None
    path: str = always("")


class VolumeProjection(ApiStruct):
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = field(default=None, name="downwardAPI")
    pod_certificate: PodCertificateProjection | None = None
    secret: SecretProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolumeSource(ApiStruct):
    default_mode: Int32 | None = None
    sources: tuple[VolumeProjection, ...] | None = None


class QuobyteVolumeSource(ApiStruct):
    group: str | None = None
    read_only: bool | None = None
    registry: str = always("")
    tenant: str | None = None
    user: str | None = None
    volume: str = always("")


class RBDVolumeSource(ApiStruct):
    fs_type: str | None = None
    image: str = always("")
    keyring: str | None = None
    monitors: tuple[str, ...] = always(())
    pool: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    user: str | None = None


class ScaleIOVolumeSource(ApiStruct):
    fs_type: str | None = None
    gateway: str = always("")
    protection_domain: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    ssl_enabled: bool | None = None
    storage_mode: str | None = None
    storage_pool: str | None = None
    system: str = always("")
    volume_name: str | None = None


class SecretVolumeSource(ApiStruct):
    default_mode: Int32 | None = None
    items: tuple[KeyToPath, ...] | None = None
    optional: bool | None = None
    secret_name: str | None = None


class StorageOSVolumeSource(ApiStruct):
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_name: str | None = None
    volume_namespace: str | None = None


class VsphereVirtualDiskVolumeSource(ApiStruct):
    fs_type: str | None = None
    storage_policy_id: str | None = field(default=None, name="storagePolicyID")
    storage_policy_name: str | None = None
    volume_path: str = always("")


class Volume(ApiStruct):
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    image: ImageVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    name: str = always("")
    nfs: NFSVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = field(default=None, name="scaleIO")
    secret: SecretVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None
