"""Control groups of a local cluster: one subtree, in it one for the control plane and one for each node.

Works on cgroup v1, hybrid and v2. A node's subtree carries its share of the machine; its own processes live in a leaf
(`agent`), because a v2 group with controllers for its children may hold no processes itself.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.spec import ClusterError

CONTROL_PLANE = "control-plane"
AGENT = "agent"
CPU_PERIOD_US = 100_000
REMOVE_WAIT_S = 10.0
CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io")
REQUIRED_CONTROLLERS = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """`roots` are mount points: one on v2, one per controller (or pair of them) on v1 and hybrid."""

    v2: bool
    roots: tuple[Path, ...]
    hidden: Path | None = None
    """On hybrid: where the v2 hierarchy is mounted beside the v1 ones."""

    @property
    def named(self) -> set[str]:
        if self.v2:
            return set((self.roots[0] / "cgroup.controllers").read_text().split())
        return {name for root in self.roots for name in root.name.split(",")}


def detect(mountinfo: str) -> Hierarchies:
    """From /proc/self/mountinfo; of several mounts on one point the last is the visible one."""
    visible: dict[str, str] = {}
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        visible[fields.split()[4]] = rest.split()[0]
    v1 = tuple(Path(point) for point, kind in visible.items() if kind == "cgroup")
    v2 = [Path(point) for point, kind in visible.items() if kind == "cgroup2"]
    if v1:
        return Hierarchies(False, v1, v2[0] if v2 else None)
    if not v2:
        raise ClusterError("no cgroup hierarchy is mounted: mount one at /sys/fs/cgroup")
    return Hierarchies(True, (v2[0],))


def of_this_machine() -> Hierarchies:
    return detect(Path("/proc/self/mountinfo").read_text())


def create(hierarchies: Hierarchies, group: str) -> None:
    """Makes the group with its ancestors; on v2 with controllers enabled down to it, on v1 with a usable cpuset."""
    for root in hierarchies.roots:
        folder = root
        for part in Path(group).parts:
            if hierarchies.v2:
                _enable_controllers(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
            if not hierarchies.v2:
                _inherit_cpuset(folder)


def limit(hierarchies: Hierarchies, group: str, *, cpus: float, memory_bytes: int) -> None:
    """The most that all processes below the group may use together."""
    quota_us = round(cpus * CPU_PERIOD_US)
    for root in hierarchies.roots:
        folder = root / group
        if hierarchies.v2:
            (folder / "cpu.max").write_text(f"{quota_us} {CPU_PERIOD_US}")
            (folder / "memory.max").write_text(str(memory_bytes))
        elif (folder / "cpu.cfs_quota_us").exists():
            (folder / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        elif (folder / "memory.limit_in_bytes").exists():
            (folder / "memory.limit_in_bytes").write_text(str(memory_bytes))


def inside(hierarchies: Hierarchies, group: str, command: Sequence[str]) -> list[str]:
    """The command, run in the group from its first instruction on (its children are born there)."""
    script = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
    folders = [str(root / group) for root in hierarchies.roots]
    return ["/bin/sh", "-c", script, "enter-cgroup", *folders, "--", *command]


def processes(hierarchies: Hierarchies, group: str) -> set[int]:
    """In the group and below it."""
    return {pid for root in hierarchies.roots for folder in _below(root / group) for pid in _pids(folder)}


def remove(hierarchies: Hierarchies, group: str) -> None:
    """Kills what still runs in there and removes the groups. Raises ClusterError if something does not end."""
    deadline = time.monotonic() + REMOVE_WAIT_S
    while left := processes(hierarchies, group):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() >= deadline:
            raise ClusterError(f"cgroup {group}: processes {sorted(left)} do not end: they hang in the kernel")
        time.sleep(0.02)
    for root in hierarchies.roots:
        for folder in _below(root / group):
            _remove_folder(folder, deadline)
        with suppress(OSError):
            (root / group).parent.rmdir()  # the last cluster takes the common parent with it


def _remove_folder(folder: Path, deadline: float) -> None:
    """A group stays busy for a moment after its last process has ended."""
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ClusterError(f"{folder}: cannot be removed: {error.strerror}") from error
            time.sleep(0.02)


def _below(folder: Path) -> list[Path]:
    """The folder and all below it, children first."""
    return [Path(name) for name, _, _ in os.walk(folder, topdown=False)]


def _pids(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split() if pid != "0"]
    except OSError:
        return []


def _enable_controllers(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    for controller in CONTROLLERS:
        if controller in available:
            with suppress(OSError):
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    enabled = (folder / "cgroup.subtree_control").read_text().split()
    missing = [name for name in REQUIRED_CONTROLLERS if name not in enabled]
    if missing:
        raise ClusterError(f"{folder}: cgroup controllers {', '.join(missing)} cannot be enabled for children")


def _inherit_cpuset(folder: Path) -> None:
    """A new v1 cpuset is empty, and no process can enter it until it has CPUs and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = folder / name
        if file.exists() and not file.read_text().strip():
            file.write_text((folder.parent / name).read_text())
