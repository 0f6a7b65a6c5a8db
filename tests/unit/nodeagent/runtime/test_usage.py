"""Figures as the kernel's files give them, on both cgroup versions, and of interfaces and folders."""

import os
from pathlib import Path

import pytest

from nodeagent.runtime import usage
from nodeagent.runtime.cgroups import Cgroups, Layout
from nodeagent.runtime.figures import DiskUsage, NetworkUsage, Pressure, Usage
from orch.kit import trees
from tests.unit.orch.kit.test_trees import DEPTH, made_deep

V1_FILES = {
    "cpuacct/pod/cpuacct.usage": "5000000",
    "cpu/pod/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 7000\n",
    "memory/pod/memory.usage_in_bytes": "1000",
    "memory/pod/memory.stat": "rss 1\ntotal_rss 600\ntotal_inactive_file 300\ntotal_pgfault 9\ntotal_pgmajfault 2\n",
    "pids/pod/pids.current": "3",
}
V2_FILES = {
    "pod/cpu.stat": "usage_usec 5000\nuser_usec 1\nnr_periods 10\nnr_throttled 4\nthrottled_usec 7\n",
    "pod/memory.current": "1000",
    "pod/memory.stat": "anon 600\ninactive_file 300\npgfault 9\npgmajfault 2\n",
    "pod/pids.current": "3",
    "pod/cpu.pressure": "some avg10=0.00 avg60=0.00 total=11\nfull avg10=0.00 avg60=0.00 total=5\n",
}  # fmt: skip
EXPECTED = Usage(
    cpu_ns=5_000_000,
    cpu_periods=10,
    cpu_throttled_periods=4,
    cpu_throttled_us=7,
    memory_bytes=1000,
    memory_working_set_bytes=700,
    memory_rss_bytes=600,
    page_faults=9,
    major_page_faults=2,
    processes=3,
)
NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999     99    9    9    0     0          0         0      999      99    9    9    0     0       0          0
  eth0:  100     10    1    2    0     0          0         0      200      20    3    4    0     0       0          0
  eth1:    1      1    0    0    0     0          0         0        2       2    0    0    0     0       0          0
"""  # noqa: E501 - as the kernel writes it


def cgroups(folder: Path, files: dict[str, str]) -> Cgroups:
    (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if files is V2_FILES:
        return Cgroups(Layout(unified=str(folder)))
    return Cgroups(Layout(v1=tuple((name, str(folder / name)) for name in ("cpu", "cpuacct", "memory", "pids"))))


def test_both_versions_mean_the_same(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v2").mkdir()
    assert usage.of_cgroup(cgroups(tmp_path / "v1", V1_FILES), "pod") == EXPECTED
    on_v2 = usage.of_cgroup(cgroups(tmp_path / "v2", V2_FILES), "pod")
    assert on_v2.pressure == {"cpu": Pressure(some_us=11, full_us=5)}
    assert {name: getattr(on_v2, name) for name in Usage.__slots__ if name != "pressure"} == {
        name: getattr(EXPECTED, name) for name in Usage.__slots__ if name != "pressure"
    }


@pytest.mark.parametrize("files", [V1_FILES, V2_FILES])
def test_page_cache_that_can_be_taken_back_is_no_use_of_memory(tmp_path: Path, files: dict[str, str]) -> None:
    made = cgroups(tmp_path, files)
    assert usage.working_set_bytes(made, "pod") == usage.of_cgroup(made, "pod").memory_working_set_bytes == 700


@pytest.mark.parametrize("files", [V1_FILES, V2_FILES])
def test_what_is_gone_is_zero(tmp_path: Path, files: dict[str, str]) -> None:
    assert usage.of_cgroup(cgroups(tmp_path, files), "gone") == Usage()


def test_interfaces_are_summed_without_loopback() -> None:
    assert usage.network(NET_DEV) == NetworkUsage(101, 11, 1, 2, 202, 22, 3, 4)


def test_a_folder_counts_blocks_once_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x" * 100_000)
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * 10_000)
    os.link(folder / "file", folder / "sub/same")
    os.symlink(outside, folder / "link")
    found = usage.of_folder(str(folder))
    assert found.inodes == 4
    assert 10_000 <= found.used_bytes < 100_000
    assert usage.of_folder(str(tmp_path / "gone")) == DiskUsage()


def test_a_folder_deeper_than_a_path_may_be_is_counted(tmp_path: Path) -> None:
    deep = made_deep(tmp_path / "deep")
    assert usage.of_folder(str(deep)).inodes == DEPTH + 2
    trees.remove(deep)
