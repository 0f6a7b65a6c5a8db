"""What each volume of a pod is on this node. Pure.

For a volume that this agent cannot make `unsupported_field` names the field: containers that mount it do not start
(CreateContainerConfigError), those that do not mount it run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nodeagent.volumes.payload import (
    DEFAULT_MODE,
    File,
    Source,
    checked,
    config_map_files,
    downward_files,
    projection_files,
    secret_files,
)
from orch.api import quantity
from orch.api.pod.pod_level import pod_level_limits
from orch.api.pod.spec import Pod
from orch.api.pod.volume import EmptyDirVolumeSource, Volume, VolumeProjection

MEMORY_MEDIUM = "Memory"
_SOURCES = frozenset(
    {
        "emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected", "persistentVolumeClaim", "ephemeral"
    }
)  # fmt: skip
_PROJECTIONS = frozenset({"configMap", "secret", "downwardAPI", "serviceAccountToken"})
FS_GROUP_FILE_MODE = 0o440
"""What kubelet adds to files of read-only volumes so that the pod's fsGroup can read them."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty folder that lives as long as the pod. `memory_bytes` is a tmpfs's size; None: on disk."""

    memory_bytes: int | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """Read-only files made from objects, kept up to date."""

    files: tuple[File, ...]
    group: int | None = None


@dataclass(frozen=True, slots=True)
class HostPath:
    path: str
    type: str


Plan = Scratch | Files | HostPath


def unsupported_field(volume: Volume) -> str:
    """The field that this agent cannot honour; empty when it can make the volume."""
    at = f"spec.volumes[{volume.name}]"
    if volume.empty_dir is not None:
        return "" if volume.empty_dir.medium in (None, "", MEMORY_MEDIUM) else f"{at}.emptyDir.medium"
    if volume.projected is not None:
        for index, projection in enumerate(volume.projected.sources or ()):
            source = _source_name(projection)
            if source not in _PROJECTIONS:
                return f"{at}.projected.sources[{index}].{source}"
        return ""
    source = _source_name(volume)
    return "" if source in _SOURCES else f"{at}.{source}"


def plan_volume(volume: Volume, source: Source, node_memory_bytes: int) -> Plan:
    """For a volume without an unsupported field that stands for no claim. Raises VolumeFault when an object or key is
    missing."""
    context = source.pod.spec.security_context
    group = context.fs_group if context is not None else None
    if volume.empty_dir is not None:
        return Scratch(_memory_bytes(volume.empty_dir, source.pod, node_memory_bytes), group)
    if volume.host_path is not None:
        return HostPath(volume.host_path.path, volume.host_path.type or "")
    added = FS_GROUP_FILE_MODE if group is not None else 0
    files = checked(_volume_files(volume, source))
    return Files(tuple(replace(file, mode=file.mode | added) for file in files), group)


def _volume_files(volume: Volume, source: Source) -> Iterator[File]:
    config, secret, downward, projected = volume.config_map, volume.secret, volume.downward_api, volume.projected
    if config is not None:
        mode = _mode(config.default_mode)
        yield from config_map_files(config.name or "", config.items, config.optional, mode, source)
    if secret is not None:
        mode = _mode(secret.default_mode)
        yield from secret_files(secret.secret_name or "", secret.items, secret.optional, mode, source)
    if downward is not None:
        yield from downward_files(downward.items, _mode(downward.default_mode), source)
    for projection in (projected.sources or ()) if projected is not None else ():
        yield from projection_files(projection, _mode(projected.default_mode if projected else None), source)


def _memory_bytes(source: EmptyDirVolumeSource, pod: Pod, node_memory_bytes: int) -> int | None:
    """The least of what bounds it; None for a folder on disk."""
    if source.medium != MEMORY_MEDIUM:
        return None
    whole = pod_level_limits(pod.spec).get("memory")
    limits = [(container.resources.limits or {}).get("memory") for container in pod.spec.containers]
    limits = limits if whole is None else [whole]
    sizes = [node_memory_bytes]
    sizes += [sum(quantity.value(limit) for limit in limits if limit is not None)] if None not in limits else []
    # A limit of 0 is none, as in kubelet.
    sizes += [quantity.value(source.size_limit)] if source.size_limit and quantity.value(source.size_limit) else []
    return min(sizes)


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode


def _source_name(union: Volume | VolumeProjection) -> str:
    """The JSON name of the one source that is set; empty when none is."""
    fields = zip(union.__struct_fields__, union.__struct_encode_fields__, strict=True)
    return next((json for name, json in fields if name != "name" and getattr(union, name) is not None), "")
