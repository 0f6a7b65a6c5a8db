"""Blocking work beside the event loop, in a thread that lives for that work alone.

For work that changes its thread (setns(2)) or may block for long; a pool would carry the change into later work, and
waiting work into other parts.
"""

import _thread
import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Runs blocking `work` in a throw-away thread, which starts in the namespaces of the caller.

    Returns, also when cancelled, only after the thread has ended: two works on one thing never overlap.
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

    _thread.start_new_thread(body, ())  # threading's start() would hold up the loop until the thread runs
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result
