import pytest

from nodeagent.volumes.payload import File, Source
from nodeagent.volumes.plan import Files, HostPath, Scratch, plan_volume, unsupported_field
from orch.api.pod.container import Container
from orch.api.pod.security import PodSecurityContext
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import (
    ClusterTrustBundleProjection,
    ConfigMapVolumeSource,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    NFSVolumeSource,
    PersistentVolumeClaimVolumeSource,
    ProjectedVolumeSource,
    SecretProjection,
    Volume,
    VolumeProjection,
)
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.volumes.test_payload import POD, SOURCE

MEBIBYTE = 1 << 20
NODE_BYTES = 1024 * MEBIBYTE


def memory_volume(size: str | None) -> Volume:
    return Volume(name="v", empty_dir=EmptyDirVolumeSource(medium="Memory", size_limit=size))


def with_limits(*limits: str | None) -> Source:
    containers = tuple(
        Container(name=f"c{n}", resources=ResourceRequirements(limits={"memory": limit} if limit else None))
        for n, limit in enumerate(limits)
    )
    return Source(Pod(spec=PodSpec(containers=containers)), SOURCE.inputs, SOURCE.downward)


@pytest.mark.parametrize(
    ("size", "limits", "mebibytes"),
    [
        pytest.param("16Mi", ["64Mi"], 16, id="the volume's own limit"),
        pytest.param(None, ["64Mi", "32Mi"], 96, id="what the pod may use"),
        pytest.param("128Mi", ["64Mi"], 64, id="the least of both"),
        pytest.param("0", [None], 1024, id="no limit at all: the node"),
        pytest.param(None, ["64Mi", None], 1024, id="one container is not limited"),
    ],
)
def test_memory_is_bounded_by_the_least_limit(size: str | None, limits: list[str | None], mebibytes: int) -> None:
    assert plan_volume(memory_volume(size), with_limits(*limits), NODE_BYTES) == Scratch(mebibytes * MEBIBYTE)


def test_an_empty_dir_on_disk_has_no_size() -> None:
    volume = Volume(name="v", empty_dir=EmptyDirVolumeSource(size_limit="1Gi"))
    assert plan_volume(volume, SOURCE, NODE_BYTES) == Scratch(None)


def test_the_pods_group_owns_files_and_may_read_them() -> None:
    pod = Pod(metadata=POD.metadata, spec=PodSpec(security_context=PodSecurityContext(fs_group=2000)))
    volume = Volume(name="v", config_map=ConfigMapVolumeSource(name="settings", default_mode=0o400))
    plan = plan_volume(volume, Source(pod, SOURCE.inputs, SOURCE.downward), NODE_BYTES)
    assert isinstance(plan, Files)
    assert plan.group == 2000
    assert plan.files[0] == File("a", b"1", 0o440)


def test_a_host_path_is_itself() -> None:
    volume = Volume(name="v", host_path=HostPathVolumeSource(path="/srv", type="Directory"))
    assert plan_volume(volume, SOURCE, NODE_BYTES) == HostPath("/srv", "Directory")


def test_a_projection_gathers_its_sources() -> None:
    secret = VolumeProjection(secret=SecretProjection(name="keys"))
    volume = Volume(name="v", projected=ProjectedVolumeSource(default_mode=0o400, sources=(secret,)))
    assert plan_volume(volume, SOURCE, NODE_BYTES) == Files((File("key", b"s3", 0o400),))


BUNDLE = VolumeProjection(cluster_trust_bundle=ClusterTrustBundleProjection(path="ca"))


@pytest.mark.parametrize(
    ("volume", "field"),
    [
        (Volume(name="v", nfs=NFSVolumeSource(server="s", path="/p")), "spec.volumes[v].nfs"),
        (
            Volume(name="v", persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name="c")),
            "",
        ),
        (Volume(name="v", empty_dir=EmptyDirVolumeSource(medium="HugePages")), "spec.volumes[v].emptyDir.medium"),
        (
            Volume(name="v", projected=ProjectedVolumeSource(sources=(BUNDLE,))),
            "spec.volumes[v].projected.sources[0].clusterTrustBundle",
        ),
        (memory_volume("1Mi"), ""),
    ],
)
def test_what_cannot_be_honoured_is_named(volume: Volume, field: str) -> None:
    assert unsupported_field(volume) == field
