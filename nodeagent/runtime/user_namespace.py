"""A pod's own user namespace (hostUsers: false), and mounts seen through it.

The kernel lets only a process with one thread leave its user namespace, so a helper does it: `unshare` makes the user
namespace and, in the same call, the others, which therefore belong to it; then it waits while the agent writes the maps
and pins what was made. Ids in the pod are `base` higher on the host: its root is nobody there. Files of images and
volumes keep their ids on disk: an id-mapped mount shows them to the pod as if there were no user namespace.
"""

import contextlib
import os
import select
import subprocess
from collections.abc import Collection, Iterator, Sequence

from nodeagent.runtime import syscalls
from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.process import reap, start

IDS_PER_POD = 65_536
FIRST_BASE, LAST_BASE = 0x7000_0000, 0x7FFF_0000
"""The host ids that no distribution gives to users, services or other containers (systemd, "Users, Groups, UIDs and
GIDs"): 4096 ranges."""
HELPER_TIMEOUT_S = 5
_UNSHARE, _WAITER = "/usr/bin/unshare", "/bin/cat"
_FLAGS = {"net": "--net", "ipc": "--ipc", "uts": "--uts"}


def choose_base(pod_uid: int, taken: Collection[int]) -> int:
    """A range that no other pod of the node has, from a number made of the pod's uid: nodes that share a kernel seldom
    choose the same. Raises RuntimeFault when all are taken."""
    count = (LAST_BASE - FIRST_BASE) // IDS_PER_POD + 1
    for step in range(count):
        base = FIRST_BASE + (pod_uid + step) % count * IDS_PER_POD
        if base not in taken:
            return base
    raise RuntimeFault(f"spec.hostUsers: false: all {count} ranges of user ids on this node are taken")


@contextlib.contextmanager
def made(kinds: Sequence[str], base: int) -> Iterator[int]:
    """New namespaces of these kinds and the user namespace that owns them, held by the process whose pid it gives.
    Raises OSError, RuntimeFault."""
    argv = [_UNSHARE, "--user", *(_FLAGS[kind] for kind in kinds), _WAITER]
    helper = start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        with helper.stdin, helper.stdout:
            _await_echo(helper.stdin.fileno(), helper.stdout.fileno())
            for file in ("uid_map", "gid_map"):
                with open(f"/proc/{helper.pid}/{file}", "w") as mapping:
                    mapping.write(f"0 {base} {IDS_PER_POD}")
            yield helper.pid
    finally:
        reap(helper)


def _await_echo(stdin: int, stdout: int) -> None:
    """It answers once it has made its namespaces; what it answers instead is why it did not."""
    with contextlib.suppress(BrokenPipeError):
        os.write(stdin, b"\n")
    waiting = select.poll()  # select(2) knows no descriptor above 1023
    waiting.register(stdout, select.POLLIN)
    ready = waiting.poll(HELPER_TIMEOUT_S * 1000)
    answer = os.read(stdout, 4096) if ready else b""
    if answer != b"\n":
        said = answer.decode(errors="replace").strip() or f"no answer within {HELPER_TIMEOUT_S} s"
        raise RuntimeFault(f"spec.hostUsers: false: this node cannot make a user namespace: {said}")


def map_mount(source: str, target: str, user_namespace: str) -> None:
    """Mounts the file or folder `source` with all below it on `target`, its ids shifted by the namespace. Raises
    RuntimeFault when the file system cannot."""
    namespace = os.open(user_namespace, os.O_RDONLY)
    try:
        syscalls.mount_id_mapped(source, target, namespace)
    except OSError as error:
        raise RuntimeFault(
            f"spec.hostUsers: false: {source} cannot be mounted with shifted ids: {error.strerror}"
        ) from error
    finally:
        os.close(namespace)


def make_target(source: str, target: str) -> None:
    """An empty file or folder, as the source is."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w"):
            pass
