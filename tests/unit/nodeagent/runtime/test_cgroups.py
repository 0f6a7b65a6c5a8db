"""Cgroup layouts by mountinfo, and the settings that limits become."""

import pytest

from nodeagent.runtime.cgroups import detect, v1_settings, v2_settings, weight
from nodeagent.runtime.interface import Resources

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
