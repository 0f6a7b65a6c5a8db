"""What this machine and the agent's own rights allow. Read from /proc and /dev; changes nothing."""

import os
import resource
import stat

from nodeagent.runtime import capabilities
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.oci_spec import Device, HostFacts

CAP_SYS_RESOURCE = 24
OOM_SCORE_ADJ_MIN = -1000
OPEN_FILES_MAX = 1_048_576
"""What Docker and containerd give, and no kernel refuses (fs.nr_open)."""
EVERYBODY = 0o006
"""Mode bits."""


def facts(cgroups: Cgroups) -> HostFacts:
    with open("/proc/self/oom_score_adj") as file:
        own_score = int(file.read())
    may_exceed = bool(_mask("CapEff") >> CAP_SYS_RESOURCE & 1)
    _, open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HostFacts(
        cgroups.is_v2,
        cgroups.counts_swap,
        OOM_SCORE_ADJ_MIN if may_exceed else own_score,
        OPEN_FILES_MAX if may_exceed else min(OPEN_FILES_MAX, open_files),
    )


def available_capabilities() -> frozenset[str]:
    return capabilities.names(_mask("CapBnd"))


def devices_for_everybody() -> tuple[Device, ...]:
    """Those that others than their owner and group may read and write. In a pod with a user namespace root is one of
    these others, but crun makes device nodes anew and gives them to that root: it must not be told of more."""
    return tuple(device for device in devices() if device.mode & EVERYBODY == EVERYBODY)


def devices() -> tuple[Device, ...]:
    """Device nodes right below /dev and in its folders, the runtime's own mounts (pts, shm, mqueue) apart."""
    found = []
    for directory, folders, files in os.walk("/dev"):
        folders[:] = [folder for folder in folders if folder not in ("pts", "shm", "mqueue")]
        found += [_device(os.path.join(directory, name)) for name in files if name not in ("console", "ptmx", "tty")]
    return tuple(device for device in found if device is not None)


def _device(path: str) -> Device | None:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    kind = "c" if stat.S_ISCHR(info.st_mode) else "b" if stat.S_ISBLK(info.st_mode) else ""
    if not kind:
        return None
    return Device(path, kind, os.major(info.st_rdev), os.minor(info.st_rdev), stat.S_IMODE(info.st_mode))


def _mask(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith(f"{name}:"))
