"""Rules of a pod's volumes: one source each, and what each source needs."""

from collections.abc import Mapping, Sequence

from orch.api import quantity
from orch.api.base import ApiStruct
from orch.api.causes import Causes
from orch.api.formats import config_key_problem, dns_label_problem, dns_subdomain_problem
from orch.api.pod import volume as v
from orch.api.pod.container_rules import PULL_POLICIES, relative_path_rules
from orch.api.pod.env_rules import VOLUME_FIELD_PATHS, field_ref_rules, resource_field_rules
from orch.api.schema import fields_of

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
TOKEN_LIFETIME_MIN_S = 600
FILE_MODE_MAX = 0o777

_SOURCES = {field.name: field.attribute for field in fields_of(v.Volume).values() if field.name != "name"}
_PROJECTIONS = {field.name: field.attribute for field in fields_of(v.VolumeProjection).values()}

_REQUIRED_TEXTS: Mapping[str, tuple[str, ...]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "csi": ("driver",),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system"),
    "vsphereVolume": ("volumePath",),
    "hostPath": ("path",),
    "configMap": ("name",),
    "secret": ("secretName",),
    "image": ("reference",),
    "ephemeral": ("volumeClaimTemplate",),
}


def volume_rules(causes: Causes, path: str, volumes: Sequence[v.Volume]) -> None:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        if not volume.name:
            causes.required(f"{at}.name")
        else:
            causes.check(f"{at}.name", volume.name, dns_label_problem(volume.name))
        if volume.name in names:
            causes.duplicate(f"{at}.name", volume.name)
        names.add(volume.name)
        _source_rules(causes, at, volume)


def _source_rules(causes: Causes, path: str, volume: v.Volume) -> None:
    given = [name for name, attribute in _SOURCES.items() if getattr(volume, attribute) is not None]
    if not given:
        causes.required(path, "must specify a volume type")
    for name in given[1:]:
        causes.forbidden(f"{path}.{name}", "may not specify more than 1 volume type")
    for name in given[:1]:
        at = f"{path}.{name}"
        source: ApiStruct = getattr(volume, _SOURCES[name])
        fields = fields_of(source.__class__)
        for required in _REQUIRED_TEXTS.get(name, ()):
            if not getattr(source, fields[required].attribute):
                causes.required(f"{at}.{required}")
        _own_rules(causes, at, source)


def _own_rules(causes: Causes, path: str, source: object) -> None:
    """What a source has beyond required fields."""
    match source:
        case v.HostPathVolumeSource():
            if ".." in source.path.split("/"):
                causes.invalid(f"{path}.path", source.path, "must not contain '..'")
            if source.type and source.type not in HOST_PATH_TYPES:
                causes.not_supported(f"{path}.type", source.type, HOST_PATH_TYPES)
        case v.ConfigMapVolumeSource() | v.SecretVolumeSource():
            mode_rules(causes, f"{path}.defaultMode", source.default_mode)
            _item_rules(causes, f"{path}.items", source.items or ())
        case v.DownwardAPIVolumeSource():
            mode_rules(causes, f"{path}.defaultMode", source.default_mode)
            _downward_rules(causes, f"{path}.items", source.items or ())
        case v.EmptyDirVolumeSource():
            if source.size_limit is not None and quantity.parse(source.size_limit) < 0:
                causes.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        case v.ProjectedVolumeSource():
            mode_rules(causes, f"{path}.defaultMode", source.default_mode)
            _projected_rules(causes, f"{path}.sources", source.sources or ())
        case v.NFSVolumeSource():
            if source.path and not source.path.startswith("/"):
                causes.invalid(f"{path}.path", source.path, "must be an absolute path")
        case v.ImageVolumeSource():
            causes.one_of(f"{path}.pullPolicy", source.pull_policy, PULL_POLICIES)


def mode_rules(causes: Causes, path: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= FILE_MODE_MAX:
        causes.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")


def _item_rules(causes: Causes, path: str, items: Sequence[v.KeyToPath]) -> None:
    for index, item in enumerate(items):
        at = f"{path}[{index}]"
        if not item.key:
            causes.required(f"{at}.key")
        else:
            causes.check(f"{at}.key", item.key, config_key_problem(item.key))
        file_path_rules(causes, f"{at}.path", item.path)
        mode_rules(causes, f"{at}.mode", item.mode)


def file_path_rules(causes: Causes, path: str, value: str) -> None:
    """A file of a volume that is written anew atomically: names that begin with `..` belong to the writer."""
    if not value:
        causes.required(path)
        return
    relative_path_rules(causes, path, value)
    if value.startswith("..") and ".." not in value.split("/"):
        causes.invalid(path, value, "must not start with '..'")


def _downward_rules(causes: Causes, path: str, files: Sequence[v.DownwardAPIVolumeFile]) -> None:
    for index, file in enumerate(files):
        at = f"{path}[{index}]"
        file_path_rules(causes, f"{at}.path", file.path)
        mode_rules(causes, f"{at}.mode", file.mode)
        if file.field_ref is not None:
            if file.resource_field_ref is not None:
                causes.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
            field_ref_rules(causes, f"{at}.fieldRef", file.field_ref, VOLUME_FIELD_PATHS)
        elif file.resource_field_ref is not None:
            resource_field_rules(causes, f"{at}.resourceFieldRef", file.resource_field_ref, need_container=True)
        else:
            causes.required(at, "one of fieldRef and resourceFieldRef is required")


def _projected_rules(causes: Causes, path: str, sources: Sequence[v.VolumeProjection]) -> None:
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        given = [name for name, attribute in _PROJECTIONS.items() if getattr(source, attribute) is not None]
        if not given:
            causes.required(at, "must specify one of " + ", ".join(f"`{name}`" for name in _PROJECTIONS))
        for name in given[1:]:
            causes.forbidden(f"{at}.{name}", "may not specify more than 1 volume type per source")
        for name in given[:1]:
            _projection_rules(causes, f"{at}.{name}", getattr(source, _PROJECTIONS[name]))


def _projection_rules(causes: Causes, path: str, source: object) -> None:
    match source:
        case v.SecretProjection() | v.ConfigMapProjection():
            if not source.name:
                causes.required(f"{path}.name")
            else:
                causes.check(f"{path}.name", source.name, dns_subdomain_problem(source.name))
            _item_rules(causes, f"{path}.items", source.items or ())
        case v.DownwardAPIProjection():
            _downward_rules(causes, f"{path}.items", source.items or ())
        case v.ServiceAccountTokenProjection():
            file_path_rules(causes, f"{path}.path", source.path)
            if source.expiration_seconds is not None and source.expiration_seconds < TOKEN_LIFETIME_MIN_S:
                causes.invalid(
                    f"{path}.expirationSeconds",
                    source.expiration_seconds,
                    "may not specify a duration less than 10 minutes",
                )
