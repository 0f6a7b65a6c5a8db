"""Persistent volumes as the agent makes them: file systems in files, their size, growth, owners and removal."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nodeagent.runtime import syscalls
from nodeagent.volumes.disk import Disk
from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.persistent import PersistentVolumes
from nodeagent.volumes.removal import mounts_below, unmount_below
from nodeagent.volumes.volumes import Volumes
from orch.api.persistentvolume import (
    CSIPersistentVolumeSource,
    LocalVolumeSource,
    PersistentVolume,
)
from orch.api.pod.container import VolumeMount
from orch.api.pod.security import PodSecurityContext
from orch.api.pod.spec import Pod
from orch.api.pod.volume import NFSVolumeSource, PersistentVolumeClaimVolumeSource, Volume
from orch.api.volume_binding import DELETION_FINALIZER, PROVISIONER
from orch.kit.clock import SystemClock
from tests.builders import NOW
from tests.integration.test_volumes import DNS, NODE, Objects, Tokens, paths, pod
from tests.storage import bound_claim, volume

MEBIBYTE = 1 << 20
MOUNTS = (VolumeMount(name="v", mount_path="/v"),)


def managed(size: str = "16Mi", **fields: Any) -> PersistentVolume:
    source = {"local": None, "csi": CSIPersistentVolumeSource(driver=PROVISIONER, volume_handle="pv")}
    return volume(size=size, host="node-1", policy="Delete", spec=source, **fields)


def user(
    uid: str = "u-1", *, read_only: bool | None = None, group: int | None = None, policy: str | None = None
) -> Pod:
    source = PersistentVolumeClaimVolumeSource(claim_name="data", read_only=read_only)
    context = PodSecurityContext(fs_group=group, fs_group_change_policy=policy) if group is not None else None
    made = pod(Volume(name="v", persistent_volume_claim=source), mounts=MOUNTS, security_context=context)
    return replace(made, metadata=replace(made.metadata, uid=uid, namespace="default"))


@pytest.fixture
def objects() -> Objects:
    made = Objects()
    made.claims["data"], made.volumes["pv"] = bound_claim(), managed()
    return made


@pytest.fixture
async def volumes(tmp_path: Path, objects: Objects) -> AsyncIterator[Volumes]:
    state, run = tmp_path / "state", tmp_path / "run"
    (tmp_path / "run").mkdir()
    syscalls.mount("none", str(run), "tmpfs")  # as on a node: not the disk's file system
    made = Volumes(state, run, objects, NODE, DNS, Tokens(), SystemClock(), objects.reports.append)
    async with asyncio.TaskGroup() as tasks:
        settling = tasks.create_task(made.persistent.run())
        yield made
        settling.cancel()
    unmount_below(tmp_path)


def folder_of(volumes: Volumes, made: Pod) -> Path:
    return paths(volumes, made)["/v"]


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


async def test_data_outlives_the_pod_and_is_there_for_the_next(
    volumes: Volumes, objects: Objects, tmp_path: Path
) -> None:
    await volumes.prepare(user())
    await volumes.prepare(user())
    folder = folder_of(volumes, user())
    assert list(folder.iterdir()) == []
    (folder / "kept").write_text("still here")
    await volumes.remove("u-1")
    await until(lambda: not mounts_below(tmp_path / "state"))
    await volumes.prepare(user("u-2"))
    assert (folder_of(volumes, user("u-2")) / "kept").read_text() == "still here"
    assert {report.capacity_bytes for report in objects.reports} == {16 * MEBIBYTE}


async def test_the_size_of_a_volume_holds(volumes: Volumes) -> None:
    await volumes.prepare(user())
    with pytest.raises(OSError, match="No space left") as refused:
        (folder_of(volumes, user()) / "big").write_bytes(b"x" * 17 * MEBIBYTE)
    assert refused.value.errno == errno.ENOSPC


async def test_a_kill_right_after_the_file_system_has_its_name_leaves_a_whole_one(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "pv")
    with pytest.raises(VolumeFault, match="mount"):
        disk.mount(16 * MEBIBYTE, ("no-such-option",))
    disk.mount(16 * MEBIBYTE, ())
    try:
        assert list(disk.data.iterdir()) == []
        assert disk.data.stat().st_mode & 0o7777 == 0o777
    finally:
        disk.unmount()


async def test_a_growth_that_was_cut_short_never_shortens_the_file(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "pv")
    try:
        disk.mount(48 * MEBIBYTE, ())
        (disk.data / "big").write_bytes(b"x" * 30 * MEBIBYTE)
        disk.unmount()
        (disk.folder / "growing").touch()
        disk.mount(16 * MEBIBYTE, ())
        assert (disk.data / "big").read_bytes() == b"x" * 30 * MEBIBYTE
        assert disk.usable_bytes == 48 * MEBIBYTE
    finally:
        disk.unmount()


async def test_a_volume_that_changed_while_another_pod_got_it_is_taken_as_it_is_then(
    tmp_path: Path, objects: Objects
) -> None:
    made = PersistentVolumes(tmp_path / "volumes", objects, objects.reports.append)
    before = objects.volumes["pv"]
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.attach(before, tmp_path / "first", None, read_only=False))
            await asyncio.sleep(0)
            objects.volumes["pv"] = managed(deletion_timestamp=NOW)
            with pytest.raises(VolumeFault, match="being deleted"):
                await made.attach(before, tmp_path / "second", None, read_only=False)
    finally:
        unmount_below(tmp_path)


async def test_two_pods_share_a_volume_until_the_last_has_gone(volumes: Volumes, tmp_path: Path) -> None:
    await volumes.prepare(user())
    await volumes.prepare(user("u-2"))
    (folder_of(volumes, user()) / "a").write_text("x")
    assert (folder_of(volumes, user("u-2")) / "a").exists()
    await volumes.remove("u-1")
    await asyncio.sleep(0.3)
    assert mounts_below(tmp_path / "state")
    await volumes.remove("u-2")
    await until(lambda: not mounts_below(tmp_path / "state"))


async def test_a_volume_grows_when_no_pod_uses_it(volumes: Volumes, objects: Objects, tmp_path: Path) -> None:
    await volumes.prepare(user())
    (folder_of(volumes, user()) / "kept").write_text("x")
    objects.volumes["pv"] = managed("48Mi")
    volumes.volume_changed("pv")
    await volumes.remove("u-1")
    await until(lambda: objects.reports[-1].capacity_bytes == 48 * MEBIBYTE)
    await volumes.prepare(user("u-2"))
    folder = folder_of(volumes, user("u-2"))
    (folder / "big").write_bytes(b"x" * 40 * MEBIBYTE)
    assert (folder / "kept").read_text() == "x"


async def test_a_deleted_volume_is_gone_from_the_disk_and_the_server_is_told(
    volumes: Volumes, objects: Objects, tmp_path: Path
) -> None:
    await volumes.prepare(user())
    assert (tmp_path / "state/volumes/pv/disk.img").exists()
    objects.volumes["pv"] = managed(deletion_timestamp=NOW, finalizers=(DELETION_FINALIZER,))
    volumes.volume_changed("pv")
    await asyncio.sleep(0.3)
    assert (tmp_path / "state/volumes/pv/disk.img").exists()
    await volumes.remove("u-1")
    await until(lambda: objects.reports[-1].removed)
    assert not (tmp_path / "state/volumes/pv").exists()


@pytest.mark.parametrize(
    "doomed",
    [
        managed(deletion_timestamp=NOW),
        replace(managed(), spec=replace(managed().spec, persistent_volume_reclaim_policy="Retain")),
        managed(finalizers=(DELETION_FINALIZER,)),
        None,
    ],
    ids=["protected by its claim", "retained", "not deleted", "object gone"],
)
async def test_data_stays_otherwise(
    volumes: Volumes, objects: Objects, tmp_path: Path, doomed: PersistentVolume | None
) -> None:
    await volumes.prepare(user())
    if doomed is None:
        del objects.volumes["pv"]
    else:
        objects.volumes["pv"] = doomed
    await volumes.remove("u-1")
    await until(lambda: not mounts_below(tmp_path / "state"))
    assert (tmp_path / "state/volumes/pv/disk.img").exists()


async def test_the_pods_group_gets_the_volume_by_its_policy(volumes: Volumes) -> None:
    await volumes.prepare(user(group=2000))
    folder = folder_of(volumes, user(group=2000))
    (folder / "sub").mkdir(mode=0o700)
    (folder / "sub" / "file").write_text("x")
    os.chmod(folder / "sub" / "file", 0o600)
    os.chown(folder / "sub" / "file", 5, 5)
    os.symlink("/etc/passwd", folder / "link")
    await volumes.prepare(user("u-2", group=2000, policy="OnRootMismatch"))
    assert (folder / "sub" / "file").stat().st_gid == 5
    await volumes.prepare(user("u-3", group=2000))
    found = (folder / "sub" / "file").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (5, 2000, 0o660)
    assert (folder / "sub").stat().st_mode & 0o7777 == 0o2770
    assert os.stat("/etc/passwd").st_gid == 0


async def test_a_claim_may_be_mounted_read_only(volumes: Volumes) -> None:
    made = user(read_only=True)
    await volumes.prepare(made)
    (mount,) = [m for m in volumes.mounts(made, made.spec.containers[0], "") if m.container_path == "/v"]
    assert mount.read_only


async def test_a_folder_of_the_node_can_be_a_volume(volumes: Volumes, objects: Objects, tmp_path: Path) -> None:
    static = volume(host="node-1")
    objects.volumes["pv"] = replace(
        static, spec=replace(static.spec, local=LocalVolumeSource(path=str(tmp_path / "x")))
    )
    with pytest.raises(VolumeFault, match="hostPath type check failed"):
        await volumes.prepare(user())
    (tmp_path / "x").mkdir()
    await volumes.prepare(user())
    (folder_of(volumes, user()) / "a").write_text("x")
    assert (tmp_path / "x" / "a").exists()
    await volumes.remove("u-1")
    assert (tmp_path / "x" / "a").exists()


async def test_what_is_missing_is_said(volumes: Volumes, objects: Objects) -> None:
    objects.claims["data"] = bound_claim(annotations={})
    with pytest.raises(VolumeFault, match="error processing PVC default/data: PVC is not bound"):
        await volumes.prepare(user())
    del objects.claims["data"]
    with pytest.raises(VolumeFault, match='persistentvolumeclaim "data" not found'):
        await volumes.prepare(user())
    objects.claims["data"] = bound_claim()
    nfs = NFSVolumeSource(server="a", path="/b")
    objects.volumes["pv"] = replace(managed(), spec=replace(managed().spec, csi=None, nfs=nfs))
    with pytest.raises(VolumeFault, match="of a kind that this node cannot mount"):
        await volumes.prepare(user())
