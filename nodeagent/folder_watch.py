"""Hears from the kernel (inotify) that the files of one folder change. Says that, never what."""

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Self

READ_BYTES = 64 * 1024
_IN_MODIFY, _IN_CLOSE_WRITE, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_IN_NONBLOCK, _IN_CLOEXEC = 0o4000, 0o2000000
WRITTEN = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO
"""Every write, and new files."""
SETTLED = _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_DELETE
"""Whole files that came, changed or went."""


class FolderWatch:
    def __init__(self, folder: Path, mask: int) -> None:
        """Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._descriptor < 0 or self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask) < 0:
            errno = ctypes.get_errno()
            if self._descriptor >= 0:
                os.close(self._descriptor)
            raise OSError(errno, f"inotify on {folder}")
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._descriptor, self._drain)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _drain(self) -> None:
        os.read(self._descriptor, READ_BYTES)
        self._changed.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Until something changed since the last wait, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
