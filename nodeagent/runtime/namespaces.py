"""A pod's namespaces, held by bind mounts instead of by a process ("pinned"), and what is set inside them.

    <folder>/net  <folder>/ipc  <folder>/uts  <folder>/user

A throw-away thread unshares, sets what belongs into the new namespaces, and binds its /proc/thread-self/ns/X onto the
files: 0.7 ms, no process. Invariant: either all of a pod's pins are there or none counts.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

from nodeagent.runtime import syscalls, user_namespace
from nodeagent.runtime.interface import RuntimeFault, SandboxConfig
from nodeagent.runtime.oci_spec import Namespaces

_FLAGS = {"net": syscalls.CLONE_NEWNET, "ipc": syscalls.CLONE_NEWIPC, "uts": syscalls.CLONE_NEWUTS}
_SYSCTL_TO_PATH = str.maketrans("./", "/.")
"""A dot inside of one part of a sysctl's name (an interface's) is written as a slash (sysctl.d(5))."""
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
"""The sysctls that belong to an IPC namespace; `net.*` belong to the network namespace; all others are the host's."""


def own_kinds(config: SandboxConfig) -> tuple[str, ...]:
    """Which namespaces the pod has to itself. The host's network comes with the host's name, as in Kubernetes."""
    kinds = {"net": not config.host_network, "ipc": not config.host_ipc, "uts": not config.host_network}
    if not config.host_users and not all(kinds.values()):
        raise RuntimeFault("spec.hostUsers: false needs a network and an IPC namespace of the pod's own")
    return tuple(kind for kind, own in kinds.items() if own)


def _pinned_kinds(config: SandboxConfig) -> tuple[str, ...]:
    return (*own_kinds(config), *(() if config.host_users else ("user",)))


def paths(folder: str, config: SandboxConfig, pause_pid: int | None) -> Namespaces:
    own = {kind: os.path.join(folder, kind) for kind in _pinned_kinds(config)}
    pid = f"/proc/{pause_pid}/ns/pid" if pause_pid is not None else ""
    return Namespaces(
        own.get("net", ""), own.get("ipc", ""), own.get("uts", ""), pid, config.host_pid, own.get("user", "")
    )


def are_pinned(folder: str, config: SandboxConfig) -> bool:
    return all(syscalls.is_mount_point(os.path.join(folder, kind)) for kind in _pinned_kinds(config))


def pin(folder: str, config: SandboxConfig, id_base: int) -> None:
    """Makes the pod's namespaces; repeatable. `id_base` counts with a user namespace. Raises RuntimeFault."""
    check_sysctls(config.sysctls, own_kinds(config))
    kinds = own_kinds(config)
    if not kinds or are_pinned(folder, config):
        return
    unpin(folder)  # what a crash in the middle left
    for kind in _pinned_kinds(config):
        with open(os.path.join(folder, kind), "w"):
            pass
    try:
        if config.host_users:
            syscalls.in_throwaway_thread(lambda: _unshare_and_pin(folder, config, kinds))
        else:
            _pin_owned(folder, config, kinds, id_base)
    except OSError as error:
        raise RuntimeFault(f"making the namespaces of pod {config.namespace}/{config.name}: {error}") from error


def unpin(folder: str) -> None:
    """The kernel drops a namespace with its last pin and process. Repeatable."""
    for kind in (*_FLAGS, "user"):
        path = os.path.join(folder, kind)
        while syscalls.unmount(path):
            pass
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def check_sysctls(sysctls: Mapping[str, str], kinds: tuple[str, ...]) -> None:
    """Refuses a sysctl that would change the host. Raises RuntimeFault."""
    for name in sysctls:
        namespace = "net" if name.startswith("net.") else "ipc" if name.startswith(_IPC_SYSCTLS) else ""
        if namespace not in kinds:
            raise RuntimeFault(f"sysctl {name} belongs to the host: the pod has no namespace of its own for it")


def _unshare_and_pin(folder: str, config: SandboxConfig, kinds: tuple[str, ...]) -> None:
    flags = 0
    for kind in kinds:
        flags |= _FLAGS[kind]
    syscalls.unshare(flags)
    _set_up(config, kinds)
    for kind in kinds:
        syscalls.mount(f"/proc/thread-self/ns/{kind}", os.path.join(folder, kind), "", syscalls.MS_BIND)


def _pin_owned(folder: str, config: SandboxConfig, kinds: tuple[str, ...], id_base: int) -> None:
    """Namespaces that belong to a new user namespace."""
    with user_namespace.made(kinds, id_base) as pid:
        for kind in (*kinds, "user"):
            syscalls.mount(f"/proc/{pid}/ns/{kind}", os.path.join(folder, kind), "", syscalls.MS_BIND)

    def enter_and_set_up() -> None:
        for kind in kinds:
            descriptor = os.open(os.path.join(folder, kind), os.O_RDONLY)
            try:
                syscalls.setns(descriptor, _FLAGS[kind])
            finally:
                os.close(descriptor)
        _set_up(config, kinds)

    syscalls.in_throwaway_thread(enter_and_set_up)


def _set_up(config: SandboxConfig, kinds: tuple[str, ...]) -> None:
    """What belongs into the calling thread's new namespaces."""
    if "uts" in kinds:
        socket.sethostname(config.hostname)
    if "net" in kinds:
        syscalls.bring_up_loopback()
    for name, value in config.sysctls.items():
        with open(f"/proc/sys/{name.translate(_SYSCTL_TO_PATH)}", "w") as file:
            file.write(value)
