"""Gives a volume to a pod's fsGroup. Never follows a link: other pods may write into the volume meanwhile.

As kubelet's pkg/volume/volume_linux.go: group, group's rights, and set-group-id on folders so that what is made later
belongs to the group too.
"""

import os
import stat
from pathlib import Path

from orch.kit import trees

FILE_RIGHTS, FILE_RIGHTS_READ_ONLY = 0o660, 0o440
FOLDER_RIGHTS = stat.S_ISGID | 0o110


def give_to_group(root: Path, group: int, *, on_root_mismatch: bool, read_only: bool) -> None:
    """Everything below and including `root`; with `on_root_mismatch` only if `root` itself is not the group's yet.
    Raises OSError."""
    rights = FILE_RIGHTS_READ_ONLY if read_only else FILE_RIGHTS
    if on_root_mismatch and _is_given(os.lstat(root), group, rights):
        return
    # The root last: what a crash leaves half done does not look done.
    for folder, name, _ in trees.walk(root):
        _give(name, group, rights, folder)
    _give(str(root), group, rights, None)


def _is_given(found: os.stat_result, group: int, rights: int) -> bool:
    wanted = rights | FOLDER_RIGHTS
    return found.st_gid == group and found.st_mode & wanted == wanted


def _give(name: str, group: int, rights: int, folder: int | None) -> None:
    try:
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return  # another pod removed it
    try:
        mode = os.fstat(descriptor).st_mode
        path = f"/proc/self/fd/{descriptor}"
        if stat.S_ISLNK(mode):
            return
        os.chown(path, -1, group)
        os.chmod(path, stat.S_IMODE(mode) | rights | (FOLDER_RIGHTS if stat.S_ISDIR(mode) else 0))
    finally:
        os.close(descriptor)
