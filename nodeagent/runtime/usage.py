"""What cgroups, pods' interfaces and folders have used, as the kernel counts it. Reads only; blocks, so in a thread.

What is gone reads as zero: a container may end between two files. The figures mean the same on cgroup v1 and v2.
"""

import contextlib
import os
import stat
from collections.abc import Mapping

from nodeagent.runtime import syscalls
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.figures import DiskUsage, NetworkUsage, Pressure, Usage
from orch.kit import trees

BLOCK_BYTES = 512
"""Unit of stat's st_blocks, whatever the file system's own."""
LOOPBACK = "lo"
PRESSURES = ("cpu", "memory", "io")


def of_cgroup(cgroups: Cgroups, path: str) -> Usage:
    """`path` is relative to the hierarchies' roots."""
    return _of_v2(cgroups, path) if cgroups.is_v2 else _of_v1(cgroups, path)


def working_set_bytes(cgroups: Cgroups, path: str) -> int:
    """Memory without the page cache that the kernel can take back at once, as kubelet's eviction counts (cAdvisor)."""
    return _working_set(cgroups, cgroups.memory_usage_bytes(path), cgroups.pairs("memory", path, "memory.stat"))


def _of_v2(cgroups: Cgroups, path: str) -> Usage:
    cpu, memory = cgroups.pairs("cpu", path, "cpu.stat"), cgroups.pairs("memory", path, "memory.stat")
    held = cgroups.memory_usage_bytes(path)
    return Usage(
        cpu_ns=cpu.get("usage_usec", 0) * 1000,
        cpu_periods=cpu.get("nr_periods", 0),
        cpu_throttled_periods=cpu.get("nr_throttled", 0),
        cpu_throttled_us=cpu.get("throttled_usec", 0),
        memory_bytes=held,
        memory_working_set_bytes=_working_set(cgroups, held, memory),
        memory_rss_bytes=memory.get("anon", 0),
        page_faults=memory.get("pgfault", 0),
        major_page_faults=memory.get("pgmajfault", 0),
        processes=cgroups.number("pids", path, "pids.current"),
        pressure={kind: pressure(text) for kind in PRESSURES if (text := cgroups.text("", path, f"{kind}.pressure"))},
    )


def _of_v1(cgroups: Cgroups, path: str) -> Usage:
    cpu, memory = cgroups.pairs("cpu", path, "cpu.stat"), cgroups.pairs("memory", path, "memory.stat")
    held = cgroups.memory_usage_bytes(path)
    return Usage(
        cpu_ns=cgroups.number("cpuacct", path, "cpuacct.usage"),
        cpu_periods=cpu.get("nr_periods", 0),
        cpu_throttled_periods=cpu.get("nr_throttled", 0),
        cpu_throttled_us=cpu.get("throttled_time", 0) // 1000,
        memory_bytes=held,
        memory_working_set_bytes=_working_set(cgroups, held, memory),
        memory_rss_bytes=memory.get("total_rss", 0),
        page_faults=memory.get("total_pgfault", 0),
        major_page_faults=memory.get("total_pgmajfault", 0),
        processes=cgroups.number("pids", path, "pids.current"),
    )


def _working_set(cgroups: Cgroups, held: int, stat: Mapping[str, int]) -> int:
    """v1 counts the cgroup alone under the plain names."""
    return max(held - stat.get("inactive_file" if cgroups.is_v2 else "total_inactive_file", 0), 0)


def pressure(text: str) -> Pressure:
    """A pressure file: a line for `some` and, but for the machine's cpu, one for `full`."""
    totals = {line.split()[0]: int(line.rpartition("total=")[2]) for line in text.splitlines() if "total=" in line}
    return Pressure(totals.get("some", 0), totals.get("full", 0))


def of_networks(paths: Mapping[str, str]) -> dict[str, NetworkUsage]:
    """`paths`: key -> path of a network namespace. One thread walks through all of them; those gone are left out."""

    def walk() -> dict[str, NetworkUsage]:
        found = {}
        for key, path in paths.items():
            try:
                namespace = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                syscalls.setns(namespace, syscalls.CLONE_NEWNET)
            except OSError:  # the pin was taken off meanwhile: a plain file
                continue
            finally:
                os.close(namespace)
            with open("/proc/thread-self/net/dev") as file:
                found[key] = network(file.read())
        return found

    return syscalls.in_throwaway_thread(walk) if paths else {}


def network(text: str) -> NetworkUsage:
    """The sum over the interfaces of /proc/net/dev."""
    counters = [0] * 16
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != LOOPBACK:
            counters = [sum(pair) for pair in zip(counters, map(int, numbers.split()), strict=True)]
    return NetworkUsage(*counters[0:4], *counters[8:12])


def of_folder(path: str) -> DiskUsage:
    """All files below and the folder itself; a file with several names counts once. Stays on its file system, follows
    no link. What cannot be read is left out: who owns the folder must not be able to stop the count."""
    try:
        top = os.lstat(path)
    except FileNotFoundError:
        return DiskUsage()
    linked: set[int] = set()
    blocks, inodes = top.st_blocks, 1
    with contextlib.suppress(OSError):
        for _, _, info in trees.walk(path, one_file_system=True):
            if info.st_dev != top.st_dev or info.st_ino in linked:
                continue
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                linked.add(info.st_ino)
            blocks, inodes = blocks + info.st_blocks, inodes + 1
    return DiskUsage(blocks * BLOCK_BYTES, inodes)
