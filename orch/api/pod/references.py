"""Which Secrets, ConfigMaps and claims a pod names. Pure; both the control plane and the agents go by it."""

from collections.abc import Iterator
from dataclasses import dataclass

from orch.api.pod.container import Container, EnvFromSource, EnvVar, EphemeralContainer
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import Volume, VolumeProjection
from orch.api.volume_binding import claim_names

CONFIGMAP = "ConfigMap"
SECRET = "Secret"
CLAIM = "PersistentVolumeClaim"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """An object by kind and name; it need not exist."""

    kind: str
    namespace: str
    name: str


def references(pod: Pod) -> tuple[Reference, ...]:
    """Every ConfigMap, Secret and claim that the node needs to run the pod, each once, sorted."""
    claims = ((CLAIM, name) for name in claim_names(pod))
    named = {*_of_volumes(pod.spec), *_of_containers(pod.spec), *_of_pull_secrets(pod.spec), *claims}
    return tuple(sorted(Reference(kind, pod.metadata.namespace, name) for kind, name in named if name))


def _of_pull_secrets(spec: PodSpec) -> Iterator[tuple[str, str]]:
    for secret in spec.image_pull_secrets or ():
        yield SECRET, secret.name or ""


def _of_volumes(spec: PodSpec) -> Iterator[tuple[str, str]]:
    for volume in spec.volumes or ():
        yield from _of_volume(volume)


def _of_volume(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.config_map:
        yield CONFIGMAP, volume.config_map.name or ""
    if volume.secret:
        yield SECRET, volume.secret.secret_name or ""
    for source in (volume.projected.sources or ()) if volume.projected else ():
        yield from _of_projection(source)


def _of_projection(source: VolumeProjection) -> Iterator[tuple[str, str]]:
    if source.config_map:
        yield CONFIGMAP, source.config_map.name or ""
    if source.secret:
        yield SECRET, source.secret.name or ""


def _of_containers(spec: PodSpec) -> Iterator[tuple[str, str]]:
    containers: tuple[Container | EphemeralContainer, ...] = (
        *spec.containers,
        *(spec.init_containers or ()),
        *(spec.ephemeral_containers or ()),
    )
    for container in containers:
        for source in container.env_from or ():
            yield from _of_env_from(source)
        for variable in container.env or ():
            yield from _of_variable(variable)


def _of_env_from(source: EnvFromSource) -> Iterator[tuple[str, str]]:
    if source.config_map_ref:
        yield CONFIGMAP, source.config_map_ref.name or ""
    if source.secret_ref:
        yield SECRET, source.secret_ref.name or ""


def _of_variable(variable: EnvVar) -> Iterator[tuple[str, str]]:
    if variable.value_from is None:
        return
    if variable.value_from.config_map_key_ref:
        yield CONFIGMAP, variable.value_from.config_map_key_ref.name or ""
    if variable.value_from.secret_key_ref:
        yield SECRET, variable.value_from.secret_key_ref.name or ""
