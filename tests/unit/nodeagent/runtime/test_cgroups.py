"""Cgroup layouts by mountinfo, and the settings that limits become."""

from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.runtime.cgroups import Cgroups, Layout, detect, v1_settings, v2_settings, weight
from nodeagent.runtime.interface import MemoryInUse, Resources, RuntimeFault

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
"""
HYBRID = V1 + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
COVERED = HYBRID + "99 41 0:77 / /sys/fs/cgroup/unified rw,relatime - tmpfs none rw,size=1024k\n"
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_controllers_of_v1() -> None:
    layout = detect(V1)
    assert dict(layout.v1) == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
        "name=systemd": "/sys/fs/cgroup/systemd",
    }
    assert (layout.is_v2, layout.is_hybrid) == (False, False)


@pytest.mark.parametrize(
    ("mountinfo", "is_v2", "is_hybrid"), [(HYBRID, False, True), (COVERED, False, False), (V2, True, False)]
)
def test_the_last_mount_on_a_point_decides(mountinfo: str, is_v2: bool, is_hybrid: bool) -> None:
    layout = detect(mountinfo)
    assert (layout.is_v2, layout.is_hybrid) == (is_v2, is_hybrid)


def test_shares_become_weights_as_the_oci_runtimes_convert_them() -> None:
    assert [weight(shares) for shares in (0, 2, 512, 1024, 262_144, 10**9)] == [1, 1, 20, 39, 10_000, 10_000]


def test_no_limit_is_no_setting() -> None:
    assert v1_settings(Resources()) == []
    assert v2_settings(Resources()) == []


def test_unlimited_is_written_as_each_version_says_it() -> None:
    unlimited = Resources(cpu_quota_us=-1, memory_limit_bytes=-1, pids_limit=-1)
    assert ("pids", "pids.max", "max") in v1_settings(unlimited)
    assert ("memory", "memory.limit_in_bytes", "-1") in v1_settings(unlimited)
    assert ("cpu.max", "max 100000") in v2_settings(unlimited)
    assert ("memory.max", "max") in v2_settings(unlimited)
    assert ("pids.max", "max") in v2_settings(unlimited)


def test_memory_grows_with_swap_first() -> None:
    files = [file for _, file, _ in v1_settings(Resources(memory_limit_bytes=1))]
    assert files.index("memory.memsw.limit_in_bytes") < files.index("memory.limit_in_bytes")


LIMITS = Resources(cpu_shares=1024, cpu_quota_us=5000, memory_limit_bytes=1 << 20, pids_limit=5)


def on_v1(folder: Path) -> Cgroups:
    """Plain folders in place of the hierarchies: what is written can be read."""
    controllers = ("cpu", "memory", "pids")
    for name in controllers:
        (folder / name).mkdir()
    (folder / "memory/memory.memsw.limit_in_bytes").write_text("")
    return Cgroups(Layout(v1=tuple((name, str(folder / name)) for name in controllers)))


def on_v2(folder: Path) -> Cgroups:
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (folder / "cgroup.subtree_control").write_text("memory\n")
    return Cgroups(Layout(unified=str(folder)))


def test_limits_on_v1(tmp_path: Path) -> None:
    on_v1(tmp_path).create("node/pod", LIMITS)
    written = {f"{path.parts[-4]}/{path.name}": path.read_text() for path in tmp_path.glob("*/node/pod/*")}
    assert written == {
        "cpu/cpu.shares": "1024",
        "cpu/cpu.cfs_period_us": "100000",
        "cpu/cpu.cfs_quota_us": "5000",
        "memory/memory.limit_in_bytes": "1048576",
        "memory/memory.memsw.limit_in_bytes": "1048576",
        "pids/pids.max": "5",
    }


def test_limits_on_v2_and_controllers_passed_down(tmp_path: Path) -> None:
    on_v2(tmp_path).create("pod", LIMITS)
    written = {path.name: path.read_text() for path in (tmp_path / "pod").iterdir()}
    assert written == {
        "cpu.weight": "39",
        "cpu.max": "5000 100000",
        "memory.max": "1048576",
        "memory.swap.max": "0",
        "pids.max": "5",
    }
    assert (tmp_path / "cgroup.subtree_control").read_text() in ("+cpu", "+pids", "+io", "+cpuset"), "one at a time"


def test_memory_is_never_shrunk_below_use_on_v2_where_the_kernel_would_kill(tmp_path: Path) -> None:
    cgroups = on_v2(tmp_path)
    cgroups.create("pod", LIMITS)
    (tmp_path / "pod/memory.current").write_text("900000\n")
    with pytest.raises(MemoryInUse, match="below the 900000 bytes in use"):
        cgroups.apply("pod", Resources(memory_limit_bytes=800_000, pids_limit=9))
    assert (tmp_path / "pod/pids.max").read_text() == "5"


def test_oom_kills_are_counted_on_both(tmp_path: Path) -> None:
    for name, make, file, text in (
        ("v1", on_v1, "memory/pod/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ("v2", on_v2, "pod/memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        cgroups = make(folder)
        cgroups.create("pod", Resources())
        assert cgroups.oom_kills("pod") == 0
        (folder / file).write_text(text)
        assert cgroups.oom_kills("pod") == 2


def test_a_machine_without_the_controllers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match="no cgroup hierarchy for cpu, pids"):
        Cgroups(Layout(v1=(("memory", str(tmp_path)),)))
    with pytest.raises(RuntimeFault, match="no cgroup hierarchy for cpu, memory, pids"):
        Cgroups(Layout(unified=str(tmp_path)))


def test_promised_memory_has_two_files_on_v2_and_one_on_v1() -> None:
    promised = Resources(memory_request_bytes=10, memory_min_bytes=20, memory_high_bytes=30)
    assert v2_settings(promised) == [("memory.min", "20"), ("memory.low", "10"), ("memory.high", "30")]
    assert v1_settings(promised) == [("memory", "memory.soft_limit_in_bytes", "20")]


def test_memory_comes_first_so_that_a_refusal_changes_nothing() -> None:
    files = [file for file, _ in v2_settings(replace(LIMITS, cpu_shares=1024))]
    assert files.index("memory.max") < min(files.index(file) for file in ("pids.max", "cpu.weight", "cpu.max"))
