"""Removes a folder tree that may hold mounts. Never follows one: that would delete the files of somebody else."""

import os
import re
from pathlib import Path

from nodeagent.runtime import syscalls
from nodeagent.volumes.errors import VolumeFault
from orch.kit import trees

_MOUNT_TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def remove_tree(folder: Path) -> None:
    """Raises VolumeFault when something stays mounted below. No error when there is no such folder."""
    unmount_below(folder)
    try:
        trees.remove(folder)
    except OSError as error:
        raise VolumeFault(f"remove {folder}: {error}") from error


def unmount_below(folder: Path) -> None:
    """The innermost first. Raises VolumeFault unless nothing is left."""
    for target in mounts_below(folder):
        try:
            syscalls.unmount(target)
        except OSError as error:
            raise VolumeFault(f"unmount {target}: {error.strerror}") from error
    left = mounts_below(folder)
    if left:
        raise VolumeFault(f"{left[0]} is still mounted, {folder} stays")


def mounts_below(folder: Path) -> list[str]:
    """Mount points inside `folder`, the last mounted first; a point mounted twice is there twice."""
    prefix = os.path.realpath(folder) + "/"
    points = (_unescaped(line.split()[4]) for line in _MOUNT_TABLE.read_text().splitlines())
    return [point for point in points if point.startswith(prefix)][::-1]


def devices_mounted() -> list[int]:
    """The device number of every mount, as st_dev gives it."""
    numbers = (line.split()[2].split(":") for line in _MOUNT_TABLE.read_text().splitlines())
    return [os.makedev(int(major), int(minor)) for major, minor in numbers]


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), text)
