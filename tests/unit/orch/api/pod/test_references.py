"""Which ConfigMaps and Secrets a pod names."""

from orch.api.meta import ObjectMeta
from orch.api.pod.container import (
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    Container,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    SecretEnvSource,
    SecretKeySelector,
)
from orch.api.pod.references import references
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import (
    ConfigMapProjection,
    ConfigMapVolumeSource,
    ProjectedVolumeSource,
    SecretProjection,
    SecretVolumeSource,
    Volume,
    VolumeProjection,
)
from orch.api.shared import LocalObjectReference


def names(spec: PodSpec) -> list[str]:
    found = references(Pod(metadata=ObjectMeta(namespace="shop"), spec=spec))
    assert all(reference.namespace == "shop" for reference in found)
    return [f"{reference.kind}/{reference.name}" for reference in found]


def test_every_place_that_names_one() -> None:
    variables = (
        EnvVar(name="A", value_from=EnvVarSource(config_map_key_ref=ConfigMapKeySelector(name="c1", key="k"))),
        EnvVar(name="B", value_from=EnvVarSource(secret_key_ref=SecretKeySelector(name="s1", key="k"))),
        EnvVar(name="C", value="plain"),
    )
    sources = (
        EnvFromSource(config_map_ref=ConfigMapEnvSource(name="c2")),
        EnvFromSource(secret_ref=SecretEnvSource(name="s2")),
    )
    projected = (
        VolumeProjection(config_map=ConfigMapProjection(name="c3")),
        VolumeProjection(secret=SecretProjection(name="s3")),
    )
    volumes = (
        Volume(name="a", config_map=ConfigMapVolumeSource(name="c4")),
        Volume(name="b", secret=SecretVolumeSource(secret_name="s4")),
        Volume(name="c", projected=ProjectedVolumeSource(sources=projected)),
    )
    spec = PodSpec(
        containers=(Container(name="a", env=variables),),
        init_containers=(Container(name="b", env_from=sources),),
        volumes=volumes,
        image_pull_secrets=(LocalObjectReference(name="s5"),),
    )
    assert names(spec) == [*(f"ConfigMap/c{n}" for n in range(1, 5)), *(f"Secret/s{n}" for n in range(1, 6))]


def test_each_is_named_once() -> None:
    source = EnvFromSource(config_map_ref=ConfigMapEnvSource(name="c"))
    containers = tuple(Container(name=name, env_from=(source,)) for name in ("a", "b"))
    assert names(PodSpec(containers=containers)) == ["ConfigMap/c"]


def test_a_pod_that_names_nothing() -> None:
    assert names(PodSpec(containers=(Container(name="a"),))) == []
