"""The checks that a hostPath volume's type asks for, before a container sees the path."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from nodeagent.volumes.errors import VolumeFault

CREATED_FOLDER_MODE = 0o755
CREATED_FILE_MODE = 0o644

_CHECKS: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def check_host_path(path: str, kind: str) -> None:
    """Creates what `kind` allows to create (without a kind: a folder). Raises VolumeFault."""
    if kind and kind not in _CHECKS:
        raise VolumeFault(f"hostPath type {kind!r} is not known")
    try:
        if not os.path.exists(path):
            _create(Path(path), kind)
        mode = os.stat(path).st_mode
    except OSError as error:
        raise VolumeFault(f"hostPath type check failed: {path}: {error.strerror}") from error
    holds, what = _CHECKS.get(kind, (lambda found: True, ""))
    if not holds(mode):
        raise VolumeFault(f"hostPath type check failed: {path} is not {what}")


def _create(path: Path, kind: str) -> None:
    if kind in ("", "DirectoryOrCreate"):
        path.mkdir(mode=CREATED_FOLDER_MODE, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(mode=CREATED_FILE_MODE)
