"""Makes the agent's own mount namespace fit for the OCI runtime. Never touches the host's mounts.

crun and runc refuse a host that has cgroup v1 controllers and shows cgroup2 in `/sys/fs/cgroup/unified` ("hybrid").
Seen from a namespace where a small tmpfs covers that mount, the host is plain v1. A plain umount would do too, but the
runtime then makes folders in the host's tmpfs below.
"""

from nodeagent.runtime import syscalls
from nodeagent.runtime.cgroups import Layout, detect_here
from orch.errors import OrchError


class SharedMountNamespace(OrchError):
    """The agent runs in the host's mount namespace, where it may not cover anything."""


def prepare_mount_namespace() -> Layout:
    """The cgroup layout that containers will be run on. Repeatable. Raises SharedMountNamespace when the host is hybrid
    and the process is in the host's mount namespace."""
    layout = detect_here()
    if not layout.is_hybrid:
        return layout
    if _mounts("self") == _mounts("1"):
        raise SharedMountNamespace(
            f"this host mounts cgroup v1 and v2 ({layout.unified}), which the OCI runtime refuses: "
            "start the agent in a mount namespace of its own (unshare --mount --propagation private)"
        )
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)  # what is mounted here stays here
    syscalls.mount("none", layout.unified, "tmpfs", 0, "mode=755,size=1m")
    return detect_here()


def _mounts(pid: str) -> set[str]:
    """Ids of the mounts that a process sees; no two namespaces share one. (The link ns/mnt would say it more directly,
    but reading process 1's takes all of its capabilities.)"""
    with open(f"/proc/{pid}/mountinfo") as file:
        return {line.split()[0] for line in file}
