"""The door to the kernel: system calls that Python 3.11 has no function for. Each raises OSError naming its object.

No policy here. Calls that change the calling thread's namespaces (`unshare`, `setns`) belong into a throw-away thread:
see `in_throwaway_thread`. A pooled thread would keep the namespace and leak it into whatever runs there next.
"""

import _thread
import contextlib
import ctypes
import fcntl
import os
import platform
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 0x1000, 0x4000, 0x40000, 0x80000
MNT_DETACH = 0x2
CLONE_FS, CLONE_NEWNS, CLONE_NEWUTS = 0x200, 0x20000, 0x4000000
CLONE_NEWIPC, CLONE_NEWNET = 0x8000000, 0x40000000

_PR_SET_CHILD_SUBREAPER = 36
_SYS_OPENAT2, _SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = (ctypes.c_long(n) for n in (437, 428, 429, 442))
"""The same numbers on every architecture."""
_SYS_BPF = ctypes.c_long(321 if platform.machine() == "x86_64" else 280)
_BPF_PROG_LOAD, _BPF_PROG_ATTACH = 5, 8
_BPF_PROG_TYPE_CGROUP_DEVICE, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI = 15, 6, 2
_BPF_INSTRUCTION_BYTES = 8
_BPF_LOAD, _BPF_ATTACH = struct.Struct("=IIQQIIQ"), struct.Struct("=IIII")
"""The beginnings of union bpf_attr (linux/bpf.h); what follows is zero."""
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP = 0x1, 0x4, 0x100000
_MOUNT_ATTR_RDONLY = 0x1
_RESOLVE_IN_ROOT = 0x10
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_IFREQ = struct.Struct("16sH22x")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Paths may be relative to the calling thread's working directory."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(_libc.mount(*arguments), target)


def unmount(target: str) -> bool:
    """Detaches whatever is mounted at `target`; False when nothing was."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) == 0:
        return True
    number = ctypes.get_errno()
    if number in (22, 2):  # EINVAL: no mount point; ENOENT: no such path
        return False
    raise OSError(number, os.strerror(number), target)


def is_mount_point(path: str) -> bool:
    """Also for files; os.path.ismount knows directories only."""
    try:
        return os.lstat(path).st_dev != os.lstat(os.path.dirname(path)).st_dev
    except FileNotFoundError:
        return False


def mount_id_mapped(source: str, target: str, user_namespace: int) -> None:
    """A recursive bind mount whose ids are shifted by a user namespace (mount_setattr, MOUNT_ATTR_IDMAP)."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    tree = _check(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), ctypes.c_uint(flags)), source)
    try:
        attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
        size = ctypes.sizeof(attributes)
        arguments = (tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, ctypes.byref(attributes), ctypes.c_size_t(size))
        _check(_libc.syscall(_SYS_MOUNT_SETATTR, *arguments), source)
        moved = _libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
        _check(moved, target)
    finally:
        os.close(tree)


def make_read_only(target: str) -> None:
    """The mount at `target` and all that are mounted below it (mount_setattr, AT_RECURSIVE; Linux 5.12)."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    arguments = (_AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, ctypes.byref(attributes), size)
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, *arguments), target)


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    _check(_libc.setns(descriptor, flags), "setns")


def open_in_root(root: str, path: str) -> int:
    """Opens for reading inside `root` as if chrooted: no symlink and no `..` leads out (openat2)."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        how = (ctypes.c_uint64 * 3)(os.O_RDONLY | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        name = os.fsencode(path.lstrip("/"))
        return _check(_libc.syscall(_SYS_OPENAT2, directory, name, ctypes.byref(how), ctypes.sizeof(how)), path)
    finally:
        os.close(directory)


def load_device_program(instructions: bytes) -> int:
    """A BPF program that decides on access to devices, under no licence; its descriptor."""
    code, licence = ctypes.create_string_buffer(instructions), ctypes.create_string_buffer(b"")
    count = len(instructions) // _BPF_INSTRUCTION_BYTES
    addresses = ctypes.addressof(code), ctypes.addressof(licence)
    return _bpf(_BPF_PROG_LOAD, _BPF_LOAD.pack(_BPF_PROG_TYPE_CGROUP_DEVICE, count, *addresses, 0, 0, 0), "bpf program")


def attach_device_program(program: int, cgroup: str) -> None:
    """To a cgroup v2, beside those that are there: each of them, and each of its ancestors', must allow."""
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    try:
        attributes = _BPF_ATTACH.pack(directory, program, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI)
        _bpf(_BPF_PROG_ATTACH, attributes, cgroup)
    finally:
        os.close(directory)


def _bpf(command: int, attributes: bytes, what: str) -> int:
    room = ctypes.create_string_buffer(attributes, len(attributes))
    return _check(_libc.syscall(_SYS_BPF, command, room, ctypes.c_uint(len(attributes))), what)


def become_subreaper() -> None:
    """Descendants whose parent ends become the calling process' children, and its to reap (prctl)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def bring_up_loopback() -> None:
    """`lo` of the calling thread's network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        flags = _IFREQ.unpack(request)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))


def in_throwaway_thread(work: Callable[[], T]) -> T:
    """Runs `work` in a thread made for it and ended after it. Blocks, so `work` must be short."""
    results: list[T] = []
    errors: list[BaseException] = []
    running = _thread.allocate_lock()  # threading's start() and join() would change threads twice as often
    running.acquire()

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        running.release()

    _thread.start_new_thread(body, ())
    running.acquire()
    if errors:
        raise errors[0]
    return results[0]


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def write_file(path: str, content: bytes) -> None:
    """Atomically: readers, and whoever comes after a crash, see all of it or nothing. For tmpfs, so not synced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.tmp")
    with open(f"{path}.tmp", "wb") as file:
        file.write(content)
    os.rename(f"{path}.tmp", path)
