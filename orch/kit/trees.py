"""Walks and removes folder trees of any depth, made by anybody: the programs of pods own what lies in most of them.

By descriptors and without recursion, so that neither the longest path (PATH_MAX) nor Python's stack limits the depth;
two descriptors are open at a time. Never follows a link. Blocks: for threads.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Level:
    """A folder on the way down. `identity`: device and inode, so that the way up does not lead elsewhere when somebody
    moves folders meanwhile."""

    name: str
    identity: tuple[int, int]
    pending: list[str]


def walk(root: str | os.PathLike[str], *, one_file_system: bool = False) -> Iterator[tuple[int, str, os.stat_result]]:
    """Everything below `root`, what is in a folder before the folder: (descriptor of its folder, name, lstat).

    The caller may remove or change what it is given; the descriptor is the walk's. What is gone or cannot be read
    is passed over, with `one_file_system` also what is mounted inside. Ends early when somebody moves a folder that is
    being walked. Raises OSError when `root` is no folder that can be opened.
    """
    descriptor = os.open(root, _FOLDER)
    try:
        levels = [_level("", descriptor)]
        device = levels[0].identity[0]
        while True:
            level = levels[-1]
            if level.pending:
                name = level.pending.pop()
                info = _lstat(name, descriptor)
                if info is None:
                    continue
                enters = stat.S_ISDIR(info.st_mode) and not (one_file_system and info.st_dev != device)
                inner = _open(name, descriptor) if enters else None
                if inner is None:
                    yield descriptor, name, info
                    continue
                os.close(descriptor)
                descriptor = inner
                levels.append(_level(name, inner))
                continue
            done = levels.pop()
            if not levels:
                return
            outer = os.open("..", _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = outer
            if _identity(os.fstat(outer)) != levels[-1].identity:
                return  # what is around it now is not ours
            info = _lstat(done.name, descriptor)
            if info is not None:
                yield descriptor, done.name, info
    finally:
        os.close(descriptor)


def remove(root: str | os.PathLike[str]) -> None:
    """The folder and all below, but nothing that is mounted inside; no error when there is none. Raises OSError of the
    first thing that stays, after all else is gone."""
    stays: OSError | None = None
    with contextlib.suppress(FileNotFoundError):
        for folder, name, info in walk(root, one_file_system=True):
            try:
                _remove(folder, name, info)
            except OSError as error:
                stays = stays or error
        if stays is None:
            os.rmdir(root)
    if stays is not None:
        raise stays


def _remove(folder: int, name: str, info: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(info.st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _level(name: str, descriptor: int) -> _Level:
    return _Level(name, _identity(os.fstat(descriptor)), _names(descriptor))


def _names(descriptor: int) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(descriptor)
    return []


def _lstat(name: str, folder: int) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    return None


def _open(name: str, folder: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.open(name, _FOLDER, dir_fd=folder)
    return None


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
