"""Defaults of a pod's volumes and of the field references that volumes and environment share."""

from orch.api import quantity
from orch.api.change import change, each_or_none, fill, fill_zero, into
from orch.api.pod import volume as v
from orch.api.pod.container import ObjectFieldSelector, ResourceFieldSelector

FILE_MODE_DEFAULT = 0o644
TOKEN_LIFETIME_DEFAULT_S = 3600

_SOURCES = tuple(name for name in v.Volume.__struct_fields__ if name != "name")


def volume_defaults(volume: v.Volume) -> v.Volume:
    """A volume without a source is an emptyDir."""
    if all(getattr(volume, source) is None for source in _SOURCES):
        volume = fill(volume, empty_dir=v.EmptyDirVolumeSource())
    return _legacy(
        change(
            volume,
            config_map=into(volume.config_map, lambda s: fill(s, default_mode=FILE_MODE_DEFAULT)),
            secret=into(volume.secret, lambda s: fill(s, default_mode=FILE_MODE_DEFAULT)),
            downward_api=into(volume.downward_api, _downward_api),
            projected=into(volume.projected, _projected),
            empty_dir=into(volume.empty_dir, _empty_dir),
            host_path=into(volume.host_path, lambda s: fill(s, type="")),
            ephemeral=into(volume.ephemeral, _ephemeral),
        )
    )


def field_ref_defaults(ref: ObjectFieldSelector) -> ObjectFieldSelector:
    return fill_zero(ref, api_version="v1")


def resource_field_ref_defaults(ref: ResourceFieldSelector) -> ResourceFieldSelector:
    """The divisor 0 means 1, and is what Kubernetes writes when none was given."""
    divisor = quantity.canonical(ref.divisor or "0")
    return ref if ref.divisor == divisor else change(ref, divisor=divisor)


def _legacy(volume: v.Volume) -> v.Volume:
    """Sources of storage systems that clusters of today reach by CSI."""
    if all(source is None for source in (volume.iscsi, volume.rbd, volume.azure_disk, volume.scale_io)):
        return volume
    return change(
        volume,
        iscsi=into(volume.iscsi, lambda s: fill_zero(s, iscsi_interface="default")),
        rbd=into(volume.rbd, lambda s: fill_zero(s, pool="rbd", user="admin", keyring="/etc/ceph/keyring")),
        azure_disk=into(
            volume.azure_disk,
            lambda s: fill(s, caching_mode="ReadWrite", kind="Shared", fs_type="ext4", read_only=False),
        ),
        scale_io=into(volume.scale_io, lambda s: fill_zero(s, storage_mode="ThinProvisioned", fs_type="xfs")),
    )


def _downward_api(source: v.DownwardAPIVolumeSource) -> v.DownwardAPIVolumeSource:
    source = fill(source, default_mode=FILE_MODE_DEFAULT)
    return change(source, items=each_or_none(source.items, _downward_file))


def _downward_file(file: v.DownwardAPIVolumeFile) -> v.DownwardAPIVolumeFile:
    return change(
        file,
        field_ref=into(file.field_ref, field_ref_defaults),
        resource_field_ref=into(file.resource_field_ref, resource_field_ref_defaults),
    )


def _projected(source: v.ProjectedVolumeSource) -> v.ProjectedVolumeSource:
    source = fill(source, default_mode=FILE_MODE_DEFAULT)
    return change(source, sources=each_or_none(source.sources, _projection))


def _projection(projection: v.VolumeProjection) -> v.VolumeProjection:
    return change(
        projection,
        service_account_token=into(
            projection.service_account_token, lambda s: fill(s, expiration_seconds=TOKEN_LIFETIME_DEFAULT_S)
        ),
        downward_api=into(projection.downward_api, lambda s: change(s, items=each_or_none(s.items, _downward_file))),
    )


def _empty_dir(source: v.EmptyDirVolumeSource) -> v.EmptyDirVolumeSource:
    if source.size_limit is None or (size := quantity.canonical(source.size_limit)) == source.size_limit:
        return source
    return change(source, size_limit=size)


def _ephemeral(source: v.EphemeralVolumeSource) -> v.EphemeralVolumeSource:
    template = source.volume_claim_template
    if template is None:
        return source
    spec = fill(template.spec, volume_mode="Filesystem")
    resources = change(
        spec.resources,
        limits=quantity.canonical_map(spec.resources.limits),
        requests=quantity.canonical_map(spec.resources.requests),
    )
    return change(source, volume_claim_template=change(template, spec=change(spec, resources=resources)))
