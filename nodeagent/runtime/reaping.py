"""Ends every process of a cgroup and waits until they are gone: what makes "nothing is left" true."""

import asyncio
import os

from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.process import readable

KILL_TIMEOUT_S = 10
"""A process that survives SIGKILL for so long hangs in the kernel (a dead disk or file server)."""
ZOMBIE_WAIT_S = 0.001
"""A process may stay in its cgroup until it is reaped, which is its parent's to do and sends no event."""


async def reap_cgroup(cgroups: Cgroups, path: str) -> None:
    """Raises RuntimeFault when a process does not end."""
    pids: set[int] = set()
    try:
        async with asyncio.timeout(KILL_TIMEOUT_S):
            while pids := cgroups.processes(path):
                await _kill(cgroups, path, pids)
                await asyncio.sleep(ZOMBIE_WAIT_S)
    except TimeoutError:
        raise RuntimeFault(f"processes of cgroup {path} do not end after SIGKILL: {sorted(pids)}") from None


async def _kill(cgroups: Cgroups, path: str, pids: set[int]) -> None:
    pidfds = [pidfd for pidfd in map(_open, pids) if pidfd is not None]
    cgroups.kill(path)
    try:
        for pidfd in pidfds:
            await readable(pidfd)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
