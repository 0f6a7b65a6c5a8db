"""What admission gives a pod of its ServiceAccount."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.apiserver.admission.service_accounts import MOUNT_PATH, VOLUME_PREFIX
from orch.api.kinds import PODS, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container, VolumeMount
from orch.api.pod.spec import Pod
from orch.api.pod.volume import EmptyDirVolumeSource, Volume
from orch.api.serviceaccount import ServiceAccount
from orch.api.shared import LocalObjectReference
from orch.errors import Forbidden
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, new_pod, world


async def created(w: World, account: dict[str, Any] | None = None, **spec: Any) -> Pod:
    if account is not None:
        made = ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default"), **account)
        await w.admin.create(SERVICEACCOUNTS, made)
        spec["service_account_name"] = "robot"
    return await w.admin.create(PODS, new_pod(spec=spec))


def mounts_of(pod: Pod) -> list[str]:
    containers = (*pod.spec.containers, *(pod.spec.init_containers or ()))
    return [mount.name for one in containers for mount in one.volume_mounts or () if mount.mount_path == MOUNT_PATH]


@virtual
async def test_every_container_gets_the_token() -> None:
    async with world() as w:
        pod = await created(w, init_containers=(Container(name="first", image="app:1"),))
        (volume,) = pod.spec.volumes or ()
        assert volume.name.startswith(VOLUME_PREFIX)
        assert len(volume.name) == len(VOLUME_PREFIX) + 5
        assert mounts_of(pod) == [volume.name] * 2
        assert volume.projected is not None
        assert volume.projected.default_mode == 0o644
        token, authority, namespace = volume.projected.sources or ()
        assert token.service_account_token is not None
        assert (token.service_account_token.path, token.service_account_token.expiration_seconds) == ("token", 3607)
        assert authority.config_map is not None
        assert authority.config_map.name == "kube-root-ca.crt"
        assert namespace.downward_api is not None


@pytest.mark.parametrize(
    ("account", "pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (True, False, False), (True, None, True)],
)
@virtual
async def test_the_pods_word_counts_before_the_accounts(account: bool | None, pod: bool | None, mounted: bool) -> None:
    async with world() as w:
        made = await created(w, {"automount_service_account_token": account}, automount_service_account_token=pod)
        assert bool(mounts_of(made)) is mounted
        assert bool(made.spec.volumes) is mounted


@virtual
async def test_a_container_keeps_what_it_mounts_there_itself() -> None:
    async with world() as w:
        own = VolumeMount(name="own", mount_path=MOUNT_PATH)
        containers = (Container(name="app", image="app:1", volume_mounts=(own,)),)
        pod = await created(w, containers=containers, volumes=(Volume(name="own", empty_dir=EmptyDirVolumeSource()),))
        assert mounts_of(pod) == ["own"]
        assert len(pod.spec.volumes or ()) == 1


@virtual
async def test_a_pod_made_from_another_keeps_its_volume() -> None:
    async with world() as w:
        first = await created(w)
        copy = replace(first, metadata=ObjectMeta(name="copy", namespace="default"))
        second = await w.admin.create(PODS, copy)
        assert second.spec.volumes == first.spec.volumes


@virtual
async def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own() -> None:
    async with world() as w:
        secrets = (LocalObjectReference(name="registry"),)
        assert (await created(w, {"image_pull_secrets": secrets})).spec.image_pull_secrets == secrets
        own = (LocalObjectReference(name="mine"),)
        pod = new_pod("p2", spec={"service_account_name": "robot", "image_pull_secrets": own})
        assert (await w.admin.create(PODS, pod)).spec.image_pull_secrets == own


@virtual
async def test_a_pod_of_an_account_that_does_not_exist_is_refused() -> None:
    async with world() as w:
        with pytest.raises(Forbidden, match='serviceaccount "robot" not found'):
            await w.admin.create(PODS, new_pod(spec={"service_account_name": "robot"}))


@virtual
async def test_mirror_pods_have_no_account() -> None:
    async with world() as w:
        pod = new_pod(annotations={"kubernetes.io/config.mirror": "x"})
        made = await w.admin.create(PODS, pod)
        assert (made.spec.service_account_name, made.spec.volumes) == (None, None)
