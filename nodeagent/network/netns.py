"""Entering another network namespace. Only in a throw-away thread: setns(2) changes the calling thread for good."""

import ctypes
import os

from nodeagent.network.errors import NetworkFault

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter_netns(descriptor: int, path: str) -> None:
    """Moves the calling thread into the namespace open at `descriptor`. For throw-away threads only."""
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise NetworkFault(f"enter the network namespace {path}: {os.strerror(number)}")
