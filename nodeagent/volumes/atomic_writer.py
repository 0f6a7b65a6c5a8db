"""Replaces all files of a volume in one step, as kubelet's AtomicWriter (pkg/volume/util/atomic_writer.go) does.

Layout: the files lie in a folder `..<digest>`, `..data` is a symlink to it, and each top name is a symlink into
`..data`. A new payload is written beside the old one and becomes visible by one rename of `..data`; readers see all of
the old files or all of the new. The digest covers paths, contents and rights, so an unchanged payload is not touched.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from nodeagent.volumes.payload import File

_CURRENT = "..data"
_NEXT = "..data_next"
_FOLDER_MODE = 0o755
_PRIVATE_MODE = 0o600


def write_payload(folder: Path, files: Sequence[File], group: int | None) -> bool:
    """Whether anything changed. `group` owns the files if given. Raises OSError."""
    target = f"..{_digest(files, group)}"
    old = _current(folder)
    if old != target:
        _write_files(folder / target, files, group)
        (folder / _NEXT).unlink(missing_ok=True)
        os.symlink(target, folder / _NEXT)
        os.rename(folder / _NEXT, folder / _CURRENT)
    _link_names(folder, {file.path.split("/")[0] for file in files})
    _remove_others(folder, target)
    return old != target


def _digest(files: Sequence[File], group: int | None) -> str:
    digest = hashlib.sha256(repr(group).encode())
    for file in files:
        digest.update(repr((file.path, file.mode, file.owner, len(file.data))).encode())
        digest.update(file.data)
    return digest.hexdigest()[:32]


def _current(folder: Path) -> str:
    try:
        return os.readlink(folder / _CURRENT)
    except FileNotFoundError:
        return ""


def _write_files(folder: Path, files: Sequence[File], group: int | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what a crash left half written
    folder.mkdir(mode=_FOLDER_MODE)
    for file in files:
        path = folder / file.path
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _write_file(path, file, group)


def _write_file(path: Path, file: File, group: int | None) -> None:
    """Nobody may read it before it has the owner and the rights that it is meant to have."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_MODE), "wb") as opened:
        opened.write(file.data)
        if group is not None or file.owner:
            os.fchown(opened.fileno(), file.owner, -1 if group is None else group)
        os.fchmod(opened.fileno(), file.mode)


def _link_names(folder: Path, names: set[str]) -> None:
    for name in sorted(names):
        if not os.path.lexists(folder / name):
            os.symlink(f"{_CURRENT}/{name}", folder / name)
    for entry in folder.iterdir():
        if entry.name not in names and not entry.name.startswith(".."):
            entry.unlink()


def _remove_others(folder: Path, current: str) -> None:
    for entry in folder.iterdir():
        if entry.name.startswith("..") and entry.name not in (_CURRENT, current):
            shutil.rmtree(entry, ignore_errors=True)
