"""Owned tasks. A background loop that returns is an error: it was meant to run until cancelled."""

from collections.abc import Awaitable, Callable

import structlog

from orch.errors import OrchError

log = structlog.get_logger(__name__)


class LoopReturned(OrchError):
    """A loop that should run until it is cancelled came to its end."""


async def forever(name: str, loop: Callable[[], Awaitable[object]]) -> None:
    """Runs `loop` as a task body of a TaskGroup; its return or failure takes the group down, loudly."""
    try:
        await loop()
    except Exception:
        log.exception("background_loop_failed", loop=name)
        raise
    raise LoopReturned(f"the background loop {name!r} returned")
