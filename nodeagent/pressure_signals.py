"""Reads what a node has left, by eviction signal. Only reads.

Memory is that of the node's own cgroup where it has a share of the machine, since several nodes may share one kernel.
Disks are the file systems that hold the agent's state and its images, which usually are one.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nodeagent.pressure import Level, Signal

PID_LIMITS = ("/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max")


def read_levels(memory: Callable[[], Level], state_dir: Path, image_dir: Path) -> Mapping[Signal, Level]:
    """Raises OSError."""
    node_bytes, node_inodes = disk_levels(state_dir)
    image_bytes, image_inodes = disk_levels(image_dir)
    return {
        Signal.MEMORY: memory(),
        Signal.NODEFS: node_bytes,
        Signal.NODEFS_INODES: node_inodes,
        Signal.IMAGEFS: image_bytes,
        Signal.IMAGEFS_INODES: image_inodes,
        Signal.PIDS: _pids(),
    }


def disk_levels(folder: Path) -> tuple[Level, Level]:
    """(bytes, inodes). A file system that counts no inodes never lacks one."""
    found = os.statvfs(folder)
    inodes = Level(found.f_favail, found.f_files) if found.f_files else Level(1, 1)
    return Level(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize), inodes


def _pids() -> Level:
    tasks = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    limit = min(int(Path(path).read_text()) for path in PID_LIMITS)
    return Level(max(limit - tasks, 0), limit)
