"""Work in another network namespace, in a thread that lives for that work alone.

setns(2) changes the calling thread for good, so a thread of a pool would carry later work into the wrong namespace.
"""

import asyncio
import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from nodeagent.network.errors import NetworkFault

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter_netns(descriptor: int, path: str) -> None:
    """Moves the calling thread into the namespace open at `descriptor`. For throw-away threads only."""
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise NetworkFault(f"enter the network namespace {path}: {os.strerror(number)}")


async def in_thread(work: Callable[[], T]) -> T:
    """Runs blocking `work` in a throw-away thread, which starts in the namespaces of the caller.

    Returns, also when cancelled, only after the thread has ended: two works on one pod never overlap.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    outcome: list[T | BaseException] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)
        loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=body, daemon=True).start()
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result
