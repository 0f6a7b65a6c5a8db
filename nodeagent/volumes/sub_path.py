"""Mounts a part of a volume (subPath) without following a link out of it.

A container may write links into its volumes, also while another of its pod is being made. So the part is opened by
openat2(2) as if the volume were the root of everything, and what was opened, not its path, is bind-mounted.
"""

import contextlib
import ctypes
import os
from pathlib import Path

from nodeagent.runtime import syscalls

_SYS_OPENAT2 = 437
_RESOLVE_IN_ROOT = 0x10
_FOLDER_MODE = 0o750
_libc = ctypes.CDLL(None, use_errno=True)


def bind_sub_path(volume: Path, sub_path: str, target: Path) -> None:
    """Mounts `<volume>/<sub_path>` at `target`; a part that does not exist becomes a folder. Raises OSError."""
    descriptor = _open_or_make(volume, sub_path)
    try:
        source = f"/proc/self/fd/{descriptor}"
        while syscalls.unmount(str(target)):
            pass
        _make_mount_point(target, is_folder=os.path.isdir(source))
        syscalls.mount(source, str(target), flags=syscalls.MS_BIND)
    finally:
        os.close(descriptor)


def bind_tree(source: Path, target: Path) -> None:
    """Mounts `source` at `target` with all that is mounted below it, in place of what was there. Raises OSError."""
    while syscalls.unmount(str(target)):
        pass
    _make_mount_point(target, is_folder=source.is_dir())
    syscalls.mount(str(source), str(target), flags=syscalls.MS_BIND | syscalls.MS_REC)


def _open_or_make(volume: Path, sub_path: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return _open_inside(volume, sub_path)
    head, _, tail = sub_path.rstrip("/").rpartition("/")
    parent = _open_or_make(volume, head or ".")
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(tail, _FOLDER_MODE, dir_fd=parent)
    finally:
        os.close(parent)
    return _open_inside(volume, sub_path)


def _open_inside(volume: Path, sub_path: str) -> int:
    """By O_PATH: nothing is read, so that a named pipe or device in the volume cannot hold the agent up."""
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        name = os.fsencode(sub_path)
        descriptor: int = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2), root, name, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
        )
        if descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(volume / sub_path))
        return descriptor
    finally:
        os.close(root)


def _make_mount_point(target: Path, *, is_folder: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.is_dir() != is_folder:
        target.rmdir() if target.is_dir() else target.unlink()
    if is_folder:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
