"""The files of configMap, secret, downwardAPI and projected volumes. Pure.

As kubelet makes them: a key is a file, `items` choose and rename, an item's mode wins over the volume's. What is
missing and not optional is a VolumeFault that names it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from nodeagent.environment import ConfigError, Downward, Inputs, field_value, resource_value
from nodeagent.volumes.errors import VolumeFault
from orch.api.pod.spec import Pod
from orch.api.pod.volume import DownwardAPIVolumeFile, KeyToPath, VolumeProjection

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True, order=True)
class File:
    path: str
    """Relative, checked to stay inside the volume."""
    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Source:
    """What payloads are made from."""

    pod: Pod
    inputs: Inputs
    downward: Downward


def checked(files: Iterable[File]) -> tuple[File, ...]:
    """Sorted by path; the last of two with one path wins. Raises VolumeFault for a path that leaves the volume."""
    by_path = {file.path: file for file in files}
    for path in by_path:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "" in parts or parts[0].startswith(".."):
            raise VolumeFault(f"{path!r} is no path inside a volume")
    return tuple(by_path[path] for path in sorted(by_path))


def config_map_files(
    name: str, items: tuple[KeyToPath, ...] | None, optional: bool | None, mode: int, source: Source
) -> Iterator[File]:
    found = source.inputs.config_map(source.pod.metadata.namespace, name)
    data: dict[str, bytes] | None = None
    if found is not None:
        data = {key: text.encode() for key, text in (found.data or {}).items()} | (found.binary_data or {})
    return _keyed_files("configmap", name, data, items, bool(optional), mode)


def secret_files(
    name: str, items: tuple[KeyToPath, ...] | None, optional: bool | None, mode: int, source: Source
) -> Iterator[File]:
    found = source.inputs.secret(source.pod.metadata.namespace, name)
    data = None if found is None else found.data or {}
    return _keyed_files("secret", name, data, items, bool(optional), mode)


def _keyed_files(
    kind: str,
    name: str,
    data: Mapping[str, bytes] | None,
    items: tuple[KeyToPath, ...] | None,
    optional: bool,
    mode: int,
) -> Iterator[File]:
    if data is None:
        if optional:
            return
        raise VolumeFault(f'{kind} "{name}" not found')
    if not items:
        yield from (File(key, value, mode) for key, value in data.items())
    for item in items or ():
        if item.key in data:
            yield File(item.path, data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise VolumeFault(f'{kind} "{name}" references non-existent key: {item.key}')


def downward_files(items: tuple[DownwardAPIVolumeFile, ...] | None, mode: int, source: Source) -> Iterator[File]:
    for item in items or ():
        value = _downward_value(item, source)
        yield File(item.path, value.encode(), mode if item.mode is None else item.mode)


def _downward_value(item: DownwardAPIVolumeFile, source: Source) -> str:
    pod = source.pod
    try:
        if item.resource_field_ref is not None:
            return resource_value(pod, pod.spec.containers[0], item.resource_field_ref, source.downward)
        path = item.field_ref.field_path if item.field_ref is not None else ""
        if path in _WHOLE_MAPS:
            return _map_text(_WHOLE_MAPS[path](pod))
        return field_value(pod, path, source.downward)
    except ConfigError as error:
        raise VolumeFault(f"downwardAPI file {item.path!r}: {error}") from error


_WHOLE_MAPS: Mapping[str, Callable[[Pod], dict[str, str] | None]] = {
    "metadata.labels": lambda pod: pod.metadata.labels,
    "metadata.annotations": lambda pod: pod.metadata.annotations,
}


def _map_text(values: Mapping[str, str] | None) -> str:
    """One key="value" per line, sorted, the value escaped as a Go string."""
    return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted((values or {}).items()))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def projection_files(projection: VolumeProjection, mode: int, source: Source) -> Iterator[File]:
    """One source of a projected volume."""
    config, secret, downward = projection.config_map, projection.secret, projection.downward_api
    if config is not None:
        yield from config_map_files(config.name or "", config.items, config.optional, mode, source)
    if secret is not None:
        yield from secret_files(secret.name or "", secret.items, secret.optional, mode, source)
    if downward is not None:
        yield from downward_files(downward.items, mode, source)
