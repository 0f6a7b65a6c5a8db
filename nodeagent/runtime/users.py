"""Which uid, gid and groups a user name means in an image, by its own /etc/passwd and /etc/group. Pure but for `read`.

As the OCI image spec says of `User`: `user`, `uid`, `user:group`, `uid:gid`, `uid:group`, `user:gid`.
"""

import os
from dataclasses import dataclass

from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.syscalls import open_in_root

FILE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def resolve(name: str, passwd: str, group: str) -> Identity:
    """With the user's groups, also when it names its first itself, as Kubernetes has it (supplementalGroupsPolicy
    Merge). Raises RuntimeFault when the image has no such user or group."""
    user, _, group_name = name.partition(":")
    entry = next((e for e in _entries(passwd, 4) if user in (e[0], e[2])), None)
    if entry is None and not user.isdecimal():
        raise RuntimeFault(f"the image has no user {user!r} in /etc/passwd")
    uid = int(entry[2]) if entry else int(user)
    groups = _memberships(entry[0], group) if entry else ()
    if group_name:
        return Identity(uid, _group_id(group_name, group), groups)
    return Identity(uid, int(entry[3]) if entry else 0, groups)


def read(root: str, path: str) -> str:
    """A text file of the image; empty when it has none. No symlink leads out of `root`."""
    try:
        descriptor = open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(FILE_BYTES_MAX).decode(errors="replace")


def _entries(text: str, fields: int) -> list[list[str]]:
    lines = (line.split(":") for line in text.splitlines())
    return [entry for entry in lines if len(entry) >= fields and entry[2].isdecimal()]


def _group_id(name: str, group: str) -> int:
    entry = next((e for e in _entries(group, 3) if name == e[0]), None)
    if entry is None and not name.isdecimal():
        raise RuntimeFault(f"the image has no group {name!r} in /etc/group")
    return int(entry[2]) if entry else int(name)


def _memberships(user: str, group: str) -> tuple[int, ...]:
    return tuple(int(entry[2]) for entry in _entries(group, 4) if user in entry[3].split(","))
