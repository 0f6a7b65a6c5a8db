"""Volumes as the agent makes them: real tmpfs mounts, bind mounts of sub paths, removal."""

import asyncio
import base64
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nodeagent.container_config import NodeFacts
from nodeagent.environment import ConfigError
from nodeagent.network.dns.resolv_conf import ResolvConf
from nodeagent.runtime import syscalls
from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.pod_files import PodDns
from nodeagent.volumes.removal import mounts_below, unmount_below
from nodeagent.volumes.volumes import Volumes
from orch.api.configmap import ConfigMap
from orch.api.meta import ObjectMeta
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.container import Container, EnvVar, VolumeMount
from orch.api.pod.security import PodSecurityContext
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import (
    ConfigMapVolumeSource,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    NFSVolumeSource,
    ProjectedVolumeSource,
    SecretVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from orch.api.secret import Secret
from orch.api.service import Service
from orch.errors import OrchError
from orch.kit.clock import SystemClock
from protos import node_pb2

NODE = NodeFacts("node-1", "192.168.77.1", {"cpu": "2", "memory": "1Gi"}, 1 << 30)
DNS = PodDns("10.96.0.10", "cluster.local", ResolvConf())


class Objects:
    def __init__(self) -> None:
        self.config_maps: dict[str, ConfigMap] = {}
        self.claims: dict[str, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.reports: list[node_pb2.VolumeReport] = []

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return self.config_maps.get(name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return Secret(data={"key": b"s3"}) if name == "keys" else None

    def services(self, namespace: str) -> tuple[Service, ...]:
        return ()

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self.claims.get(name)

    def persistent_volume(self, name: str) -> PersistentVolume | None:
        return self.volumes.get(name)


class Tokens:
    """A control plane that gives tokens of `life_s`, or is gone."""

    def __init__(self) -> None:
        self.life_s = 3600.0
        self.gone = False
        self.asked: list[node_pb2.IssueTokenRequest] = []
        self.asked_again = asyncio.Event()

    async def __call__(self, request: node_pb2.IssueTokenRequest) -> node_pb2.IssueTokenResponse:
        self.asked.append(request)
        if self.gone:
            raise OrchError("nobody answers")
        if len(self.asked) > 1:
            self.asked_again.set()
        issued = SystemClock().now().timestamp()
        claims = {"iat": int(issued), "exp": int(issued + self.life_s), "jti": str(len(self.asked))}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return node_pb2.IssueTokenResponse(token=f"e30.{payload}.c2ln")


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


class MovedClock(SystemClock):
    """`passed_s` have passed; apart from that its wall time was set forward by `set_s`."""

    def __init__(self) -> None:
        self.passed_s = self.set_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.passed_s + self.set_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def volumes(tmp_path: Path, objects: Objects, tokens: Tokens, clock: MovedClock) -> Iterator[Volumes]:
    yield Volumes(tmp_path / "state", tmp_path / "run", objects, NODE, DNS, tokens, clock, objects.reports.append)
    unmount_below(tmp_path)


def pod(*volumes: Volume, mounts: tuple[VolumeMount, ...] = (), **spec: object) -> Pod:
    container = Container(name="main", volume_mounts=mounts, env=(EnvVar(name="WHO", value="me"),))
    made = PodSpec(containers=(container,), volumes=volumes, **spec)  # type: ignore[arg-type]
    return Pod(metadata=ObjectMeta(namespace="shop", name="web", uid="u-1"), spec=made)


def paths(volumes: Volumes, made: Pod) -> dict[str, Path]:
    found = volumes.mounts(made, made.spec.containers[0], "10.244.1.5")
    return {mount.container_path: Path(mount.host_path) for mount in found}


async def test_an_empty_dir_in_memory_has_its_size_and_nobody_elses(volumes: Volumes) -> None:
    made = pod(
        Volume(name="v", empty_dir=EmptyDirVolumeSource(medium="Memory", size_limit="1Mi")),
        mounts=(VolumeMount(name="v", mount_path="/v"),),
    )
    await volumes.prepare(made)
    await volumes.prepare(made)
    folder = paths(volumes, made)["/v"]
    assert folder.stat().st_mode & 0o7777 == 0o777
    with pytest.raises(OSError, match="No space left"):
        (folder / "big").write_bytes(b"x" * (2 << 20))
    assert len(mounts_below(folder.parent)) == 1


async def test_removal_leaves_nothing_and_keeps_what_is_not_the_pods(volumes: Volumes, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "keep").write_text("mine")
    made = pod(
        Volume(name="m", empty_dir=EmptyDirVolumeSource(medium="Memory")),
        Volume(name="d", empty_dir=EmptyDirVolumeSource()),
        Volume(name="h", host_path=HostPathVolumeSource(path=str(host))),
        mounts=(
            VolumeMount(name="m", mount_path="/m", sub_path="part"),
            VolumeMount(name="d", mount_path="/d"),
            VolumeMount(name="h", mount_path="/h", sub_path="."),
        ),
    )
    await volumes.prepare(made)
    found = paths(volumes, made)
    (found["/d"] / "file").write_text("x")
    assert (found["/h"] / "keep").read_text() == "mine"
    assert await volumes.known() == ("u-1",)
    await volumes.remove("u-1")
    await volumes.remove("u-1")
    assert await volumes.known() == ()
    assert mounts_below(tmp_path) == []
    assert (host / "keep").read_text() == "mine"


async def test_a_changed_config_map_is_seen_in_the_mounted_folder(volumes: Volumes, objects: Objects) -> None:
    made = pod(
        Volume(name="c", config_map=ConfigMapVolumeSource(name="settings")),
        mounts=(VolumeMount(name="c", mount_path="/c"),),
    )
    with pytest.raises(VolumeFault, match='SetUp failed for volume "c" : configmap "settings" not found'):
        await volumes.prepare(made)
    objects.config_maps["settings"] = ConfigMap(data={"a": "1"})
    await volumes.prepare(made)
    file = paths(volumes, made)["/c"] / "a"
    assert file.read_text() == "1"
    objects.config_maps["settings"] = ConfigMap(data={"a": "2"})
    await volumes.prepare(made)
    assert file.read_text() == "2"
    del objects.config_maps["settings"]
    with pytest.raises(VolumeFault):
        await volumes.prepare(made)
    assert file.read_text() == "2"


async def test_files_made_from_objects_are_read_only_and_a_secret_is_not_on_disk(
    volumes: Volumes, tmp_path: Path
) -> None:
    made = pod(
        Volume(name="s", secret=SecretVolumeSource(secret_name="keys", default_mode=0o400)),
        mounts=(VolumeMount(name="s", mount_path="/s"),),
        security_context=PodSecurityContext(fs_group=2000),
    )
    await volumes.prepare(made)
    mount = volumes.mounts(made, made.spec.containers[0], "10.244.1.5")[0]
    assert mount.read_only
    assert Path(mount.host_path).is_relative_to(tmp_path / "run")
    status = (Path(mount.host_path) / "key").stat()
    assert (status.st_mode & 0o777, status.st_gid) == (0o440, 2000)


async def test_a_sub_path_cannot_lead_out_of_its_volume(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    made = pod(
        Volume(name="d", empty_dir=EmptyDirVolumeSource()),
        mounts=(VolumeMount(name="d", mount_path="/d"), VolumeMount(name="d", mount_path="/p", sub_path="link")),
    )
    await volumes.prepare(made)
    volume = volumes._folders.volume("u-1", made.spec.volumes[0])  # type: ignore[index]
    os.symlink(tmp_path / "outside", volume / "link")
    with pytest.raises(ConfigError, match="failed to prepare subPath 'link'"):
        paths(volumes, made)
    assert not list((tmp_path / "outside").iterdir())


async def test_a_sub_path_may_be_made_from_variables_and_is_mounted_once(volumes: Volumes, tmp_path: Path) -> None:
    made = pod(
        Volume(name="d", empty_dir=EmptyDirVolumeSource()),
        mounts=(
            VolumeMount(name="d", mount_path="/d"),
            VolumeMount(name="d", mount_path="/p", sub_path_expr="of/$(WHO)"),
        ),
    )
    await volumes.prepare(made)
    for _ in range(3):
        found = paths(volumes, made)
    (found["/p"] / "file").write_text("x")
    assert (found["/d"] / "of/me/file").read_text() == "x"
    assert len(mounts_below(tmp_path)) == 1


async def test_a_file_of_a_config_map_may_be_a_sub_path(volumes: Volumes, objects: Objects) -> None:
    objects.config_maps["settings"] = ConfigMap(data={"app.conf": "x=1"})
    made = pod(
        Volume(name="c", config_map=ConfigMapVolumeSource(name="settings")),
        mounts=(VolumeMount(name="c", mount_path="/etc/app.conf", sub_path="app.conf"),),
    )
    await volumes.prepare(made)
    assert paths(volumes, made)["/etc/app.conf"].read_text() == "x=1"


async def test_a_named_pipe_as_sub_path_does_not_hold_the_agent_up(volumes: Volumes) -> None:
    made = pod(
        Volume(name="d", empty_dir=EmptyDirVolumeSource()),
        mounts=(VolumeMount(name="d", mount_path="/p", sub_path="pipe"),),
    )
    await volumes.prepare(made)
    volume = volumes._folders.volume("u-1", made.spec.volumes[0])  # type: ignore[index]
    os.mkfifo(volume / "pipe")
    assert paths(volumes, made)["/p"].is_fifo()


async def test_an_unsupported_volume_stops_only_who_mounts_it(volumes: Volumes) -> None:
    nfs = Volume(name="n", nfs=NFSVolumeSource(server="s", path="/p"))
    await volumes.prepare(pod(nfs))
    assert "/etc/hosts" in paths(volumes, pod(nfs))
    mounting = pod(nfs, mounts=(VolumeMount(name="n", mount_path="/n"),))
    with pytest.raises(ConfigError, match=r"spec\.volumes\[n\]\.nfs is not supported"):
        paths(volumes, mounting)


async def test_host_paths_are_checked_by_their_type(volumes: Volumes, tmp_path: Path) -> None:
    def of(kind: str, name: str) -> Pod:
        return pod(Volume(name="h", host_path=HostPathVolumeSource(path=str(tmp_path / name), type=kind)))

    await volumes.prepare(of("DirectoryOrCreate", "new"))
    await volumes.prepare(of("FileOrCreate", "new-file"))
    with pytest.raises(VolumeFault, match="new-file is not a directory"):
        await volumes.prepare(of("Directory", "new-file"))
    with pytest.raises(VolumeFault, match="none: No such file or directory"):
        await volumes.prepare(of("Socket", "none"))


async def test_a_pod_has_its_own_files_unless_it_mounts_over_them(volumes: Volumes) -> None:
    made = pod(
        Volume(name="d", empty_dir=EmptyDirVolumeSource()),
        mounts=(VolumeMount(name="d", mount_path="/etc/hosts", sub_path="hosts"),),
    )
    await volumes.prepare(made)
    found = paths(volumes, made)
    assert found["/etc/hostname"].read_text() == "web\n"
    assert found["/etc/resolv.conf"].read_text().startswith("nameserver 10.96.0.10\n")
    assert "sub-paths" in str(found["/etc/hosts"])
    inode = found["/etc/hostname"].stat().st_ino
    assert paths(volumes, made)["/etc/hostname"].stat().st_ino == inode


def token_pod(seconds: int = 3600, **spec: object) -> tuple[Pod, Volume]:
    token = ServiceAccountTokenProjection(path="token", expiration_seconds=seconds, audience="vault")
    sources = (VolumeProjection(service_account_token=token),)
    volume = Volume(name="t", projected=ProjectedVolumeSource(sources=sources))
    made = pod(volume, mounts=(VolumeMount(name="t", mount_path="/t"),), service_account_name="robot", **spec)
    return made, volume


async def test_a_token_is_fetched_once_and_read_back_by_the_next_agent(volumes: Volumes, tokens: Tokens) -> None:
    made, _ = token_pod()
    await volumes.prepare(made)
    await volumes.prepare(made)
    (asked,) = tokens.asked
    assert (asked.pod_uid, asked.namespace, asked.pod, asked.service_account) == ("u-1", "shop", "web", "robot")
    assert (list(asked.audiences), asked.expiration_seconds) == (["vault"], 3600)
    file = paths(volumes, made)["/t"] / "token"
    assert file.read_text().startswith("e30.")
    assert file.stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("set_s", [0, -24 * 3600, 24 * 3600])
async def test_a_token_is_renewed_at_80_percent_of_its_life_whatever_the_clock_is_set_to(
    volumes: Volumes, tokens: Tokens, clock: MovedClock, set_s: float
) -> None:
    made, _ = token_pod()
    await volumes.prepare(made)
    first = (paths(volumes, made)["/t"] / "token").read_text()
    clock.passed_s, clock.set_s = 0.79 * 3600, set_s
    await volumes.prepare(made)
    assert len(tokens.asked) == 1
    clock.passed_s = 0.81 * 3600
    await volumes.prepare(made)
    assert (paths(volumes, made)["/t"] / "token").read_text() != first
    await volumes.prepare(made)
    assert len(tokens.asked) == 2


async def test_a_token_that_lives_long_is_renewed_after_a_day(
    volumes: Volumes, tokens: Tokens, clock: MovedClock
) -> None:
    made, _ = token_pod(30 * 24 * 3600)
    tokens.life_s = 30 * 24 * 3600
    await volumes.prepare(made)
    clock.passed_s = 24 * 3600 + 1
    await volumes.prepare(made)
    assert len(tokens.asked) == 2


async def test_the_next_agent_renews_what_came_due_meanwhile(
    volumes: Volumes, objects: Objects, tokens: Tokens, clock: MovedClock, tmp_path: Path
) -> None:
    made, _ = token_pod()
    await volumes.prepare(made)
    clock.passed_s = 0.81 * 3600
    await Volumes(
        tmp_path / "state", tmp_path / "run", objects, NODE, DNS, tokens, clock, objects.reports.append
    ).prepare(made)
    assert len(tokens.asked) == 2


async def test_a_token_is_renewed_while_nobody_asks(volumes: Volumes, tokens: Tokens) -> None:
    made, _ = token_pod()
    tokens.life_s = 2
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(volumes.keep_tokens_fresh())
        await volumes.prepare(made)
        tokens.life_s = 3600
        async with asyncio.timeout(5):
            await tokens.asked_again.wait()
        await volumes.remove("u-1")
        keeping.cancel()
    assert not await volumes.known()


async def test_an_old_token_stays_while_the_control_plane_is_gone(
    volumes: Volumes, tokens: Tokens, clock: MovedClock
) -> None:
    made, _ = token_pod()
    await volumes.prepare(made)
    before = (paths(volumes, made)["/t"] / "token").read_text()
    clock.passed_s, tokens.gone = 3500, True
    await volumes.prepare(made)
    assert len(tokens.asked) == 2
    assert (paths(volumes, made)["/t"] / "token").read_text() == before


async def test_a_pod_without_its_token_waits(volumes: Volumes, tokens: Tokens) -> None:
    made, _ = token_pod()
    tokens.gone = True
    with pytest.raises(VolumeFault, match="failed to fetch token: nobody answers"):
        await volumes.prepare(made)
    tokens.gone = False
    await volumes.prepare(made)


async def test_a_token_is_for_the_pods_one_user_or_its_group(volumes: Volumes) -> None:
    made, _ = token_pod(security_context=PodSecurityContext(run_as_user=1234))
    await volumes.prepare(made)
    file = (paths(volumes, made)["/t"] / "token").stat()
    assert (file.st_mode & 0o7777, file.st_uid, file.st_gid) == (0o600, 1234, 0)
    made, _ = token_pod(security_context=PodSecurityContext(fs_group=77))
    await volumes.prepare(made)
    file = (paths(volumes, made)["/t"] / "token").stat()
    assert (file.st_mode & 0o7777, file.st_uid, file.st_gid) == (0o640, 0, 77)


async def test_a_link_swapped_in_while_a_sub_path_is_mounted_never_leads_out(volumes: Volumes, tmp_path: Path) -> None:
    """What a container does to its volume while another of the pod is being made."""
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "deep" / "secret").write_text("x")
    mounts = (VolumeMount(name="d", mount_path="/d"), VolumeMount(name="d", mount_path="/p", sub_path="a/deep"))
    made = pod(Volume(name="d", empty_dir=EmptyDirVolumeSource()), mounts=mounts)
    await volumes.prepare(made)
    volume = volumes._folders.volume("u-1", made.spec.volumes[0])  # type: ignore[index]
    (volume / "real" / "deep").mkdir(parents=True)
    os.symlink("real", volume / "a")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for target in ("real", str(tmp_path / "outside")):
                os.symlink(target, volume / "next")
                os.rename(volume / "next", volume / "a")

    swapper = threading.Thread(target=swap)
    swapper.start()
    mounted = 0
    try:
        for _ in range(100):
            with contextlib.suppress(ConfigError):
                part = paths(volumes, made)["/p"]
                mounted += 1
                assert not (part / "secret").exists()
    finally:
        done.set()
        swapper.join()
    assert mounted, "the honest link was never met"


@pytest.mark.parametrize("wish", ["Enabled", "IfPossible"])
async def test_a_read_only_mount_may_cover_what_is_mounted_below(volumes: Volumes, tmp_path: Path, wish: str) -> None:
    below = tmp_path / "host" / "below"
    below.mkdir(parents=True)
    syscalls.mount("none", str(below), "tmpfs")
    made = pod(
        Volume(name="h", host_path=HostPathVolumeSource(path=str(tmp_path / "host"))),
        mounts=(VolumeMount(name="h", mount_path="/h", read_only=True, recursive_read_only=wish),),
    )
    await volumes.prepare(made)
    folder = paths(volumes, made)["/h"]
    for place in (folder, folder / "below"):
        with pytest.raises(OSError, match="Read-only file system"):
            (place / "file").touch()
    (below / "file").touch()


async def test_what_a_pod_writes_into_its_own_files_counts_as_its_storage_and_goes(
    volumes: Volumes, tmp_path: Path
) -> None:
    made = pod(Volume(name="d", empty_dir=EmptyDirVolumeSource()))
    await volumes.prepare(made)
    hosts = paths(volumes, made)["/etc/hosts"]
    text, (device, inode) = hosts.read_text(), (hosts.stat().st_dev, hosts.stat().st_ino)
    assert hosts.is_relative_to(tmp_path / "state")
    before = sum(used.used_bytes for used in (await volumes.empty_dir_usage(made)).values())
    hosts.write_bytes(b"\xff" * (8 << 20))
    assert sum(used.used_bytes for used in (await volumes.empty_dir_usage(made)).values()) - before >= 7 << 20
    assert paths(volumes, made)["/etc/hosts"].read_text() == text
    assert (hosts.stat().st_dev, hosts.stat().st_ino) == (device, inode)
    await volumes.remove("u-1")
    assert not hosts.exists()
