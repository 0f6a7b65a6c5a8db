"""The files of configMap, secret, downwardAPI and projected volumes. Pure.

As kubelet makes them: a key is a file, `items` choose and rename, an item's mode wins over the volume's. What is
missing and not optional is a VolumeFault that names it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nodeagent.environment import ConfigError, Downward, Inputs, field_value, resource_value
from nodeagent.volumes.errors import VolumeFault
from orch.api.pod.spec import Pod
from orch.api.pod.volume import (
    DownwardAPIVolumeFile,
    KeyToPath,
    ServiceAccountTokenProjection,
    VolumeProjection,
)
from orch.api.pod.volume_defaults import TOKEN_LIFETIME_DEFAULT_S

DEFAULT_MODE = 0o644
PRIVATE_TOKEN_MODE = 0o600

TokenKey = tuple[str, int]
"""(audience, seconds): projections that ask for the same share one token. "": the API's own audience."""


def token_key(projection: ServiceAccountTokenProjection) -> TokenKey:
    return projection.audience or "", projection.expiration_seconds or TOKEN_LIFETIME_DEFAULT_S


@dataclass(frozen=True, slots=True, order=True)
class File:
    path: str
    """Relative, checked to stay inside the volume."""
    data: bytes
    mode: int
    owner: int = 0
    """Uid."""


@dataclass(frozen=True, slots=True)
class Source:
    """What payloads are made from."""

    pod: Pod
    inputs: Inputs
    downward: Downward
    tokens: Mapping[TokenKey, str | VolumeFault] = field(default_factory=dict)
    """Each token that the pod asks for, or why there is none."""


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


def token_file(projection: ServiceAccountTokenProjection, mode: int, source: Source) -> File:
    """Readable for the one user of all containers, or for the pod's group, and then for nobody else; as kubelet's
    pkg/volume/projected. Raises VolumeFault."""
    token = source.tokens[token_key(projection)]
    if isinstance(token, VolumeFault):
        raise token
    user, context = common_user(source.pod), source.pod.spec.security_context
    is_private = user is not None or (context is not None and context.fs_group is not None)
    return File(projection.path, token.encode(), PRIVATE_TOKEN_MODE if is_private else mode, user or 0)


def common_user(pod: Pod) -> int | None:
    """The uid that all containers are told to run as; None when they differ or one is not told."""
    context = pod.spec.security_context
    whole = context.run_as_user if context is not None else None
    users = {
        whole if (own := container.security_context) is None or own.run_as_user is None else own.run_as_user
        for container in (*pod.spec.containers, *(pod.spec.init_containers or ()))
    }
    return users.pop() if len(users) == 1 else None


def projection_files(projection: VolumeProjection, mode: int, source: Source) -> Iterator[File]:
    """One source of a projected volume."""
    config, secret, downward = projection.config_map, projection.secret, projection.downward_api
    if projection.service_account_token is not None:
        yield token_file(projection.service_account_token, mode, source)
    if config is not None:
        yield from config_map_files(config.name or "", config.items, config.optional, mode, source)
    if secret is not None:
        yield from secret_files(secret.name or "", secret.items, secret.optional, mode, source)
    if downward is not None:
        yield from downward_files(downward.items, mode, source)
