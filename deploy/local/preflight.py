"""What must hold before anything is made: rights, executables, kernel features, free ports. Leaves nothing behind.

Each check answers with one line that says what is missing and what to do.
"""

import ctypes
import os
import re
import shutil
import socket
import sys
from pathlib import Path

from deploy.local import cgroups
from deploy.local.commands import run, succeeds
from deploy.local.spec import PORTS_PER_CLUSTER, ClusterError, ClusterSpec

EXECUTABLES = {
    "etcd": "etcd-server",
    "docker-registry": "docker-registry",
    "crun": "crun",
    "conmon": "conmon",
    "catatonit": "catatonit",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "buildah": "buildah",
}
"""Executable -> the Debian package that has it."""
DEFAULT_SECCOMP_PROFILE = Path("/usr/share/containers/seccomp.json")
LIBNFTABLES = "libnftables.so.1"
OWN_EXECUTABLES = ("orch-server", "orch-agent")
LINK_KINDS = {
    "bridge": "add p0 type bridge",
    "veth": "add p1 type veth peer name p2",
    "vxlan": "add p3 type vxlan id 1 dstport 4789",
}
NFT_PROBE = """
    table ip orch-probe {
        map targets { type ipv4_addr . inet_proto . inet_service : verdict; }
        chain nat { type nat hook prerouting priority dstnat; }
    }
"""


def check_machine() -> None:
    """Raises ClusterError for the first thing that is missing."""
    if os.geteuid() != 0:
        raise ClusterError("a local cluster needs root (namespaces, cgroups, mounts): run it with sudo")
    for executable, package in EXECUTABLES.items():
        if not shutil.which(executable):
            raise ClusterError(f"{executable} is not installed: 'apt-get install {package}', or 'make up' for all")
    _check_files()
    for executable in OWN_EXECUTABLES:
        own_executable(executable)
    _check_filesystem("overlay")
    _check_namespaces()
    _check_links()
    _check_nftables()
    _check_cgroups()


def _check_files() -> None:
    try:
        ctypes.CDLL(LIBNFTABLES)
    except OSError:
        raise ClusterError(
            f"{LIBNFTABLES} is not installed: 'apt-get install libnftables1', or 'make up' for all"
        ) from None
    if not DEFAULT_SECCOMP_PROFILE.exists():
        raise ClusterError(
            f"{DEFAULT_SECCOMP_PROFILE} is missing: 'apt-get install golang-github-containers-common', or 'make up' "
            "for all"
        )


def own_executable(name: str) -> str:
    """Our own commands stand beside the Python that runs us."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise ClusterError(f"{path} is missing: install the project with 'make install'")
    return str(path)


def check_ports(spec: ClusterSpec, names: tuple[str, ...]) -> None:
    """`names`: of the ports (fields of Ports) whose process does not run yet."""
    for name, port in spec.ports.items():
        if name in names and not _is_free(port):
            raise ClusterError(
                f"port {port} ({name.replace('_', ' ')}) is in use{_user_of(port)}: stop that, or choose others "
                f"with --port (a cluster takes {PORTS_PER_CLUSTER} from there on)"
            )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _user_of(port: int) -> str:
    lines = run(["ss", "-Hltnp", f"sport = :{port}"])
    found = re.search(r'"([^"]+)",pid=(\d+)', lines)
    return f" by {found[1]} (process {found[2]})" if found else ""


def _check_filesystem(name: str) -> None:
    if name not in Path("/proc/filesystems").read_text().split() and not succeeds(["modprobe", name]):
        raise ClusterError(f"the kernel has no {name} filesystem: load the module with 'modprobe {name}'")


def _check_namespaces() -> None:
    try:
        run(["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "true"])
    except ClusterError as error:
        raise ClusterError(f"the kernel or this environment forbids new namespaces: {error}") from error


def _check_links() -> None:
    for kind, command in LINK_KINDS.items():
        if not succeeds(["unshare", "--net", "ip", "link", *command.split()]):
            raise ClusterError(f"the kernel cannot make {kind} links: load the module with 'modprobe {kind}'")


def _check_nftables() -> None:
    try:
        run(["unshare", "--net", "nft", "-f", "-"], stdin=NFT_PROBE)
    except ClusterError as error:
        raise ClusterError(
            f"the kernel lacks nf_tables with NAT and maps ('modprobe nft_chain_nat'): {error}"
        ) from error


def _check_cgroups() -> None:
    hierarchies = cgroups.of_this_machine()
    missing = set(cgroups.REQUIRED_CONTROLLERS) - hierarchies.named
    if missing:
        raise ClusterError(
            f"the cgroup controllers {', '.join(sorted(missing))} are not available: enable them at boot"
        )
