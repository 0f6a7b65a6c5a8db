"""The kernel's alarm on this machine's cgroups: v1 by use, v2 by stalls of processes that wait for memory."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeagent.pressure_alarm import MemoryAlarm
from nodeagent.runtime.cgroups import Layout, detect_here
from tests.unit.nodeagent.test_link import settle

MIB = 1 << 20
LAYOUT = detect_here()
CGROUP = f"orch-alarm-{os.getpid()}"
RING_S = 20.0


@contextmanager
def cgroups(*roots: str) -> Iterator[list[Path]]:
    folders = [Path(root, CGROUP) for root in roots]
    try:
        for folder in folders:
            folder.mkdir()
        yield folders
    finally:
        for folder in folders:
            folder.rmdir()


@contextmanager
def in_cgroups(folders: list[Path], script: str) -> Iterator[None]:
    joins = "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in folders)
    with subprocess.Popen(["sh", "-c", f"{joins}; {script}"], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def members(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]


def end_all(folder: Path) -> None:
    for pid in members(folder):
        os.kill(pid, signal.SIGKILL)


async def rings(alarm: MemoryAlarm) -> bool:
    try:
        async with asyncio.timeout(RING_S):
            await alarm.rang.wait()
    except TimeoutError:
        return False
    return True


@pytest.mark.skipif(LAYOUT.is_v2, reason="cgroup v1 is not mounted")
async def test_use_that_crosses_the_threshold_rings() -> None:
    with cgroups(dict(LAYOUT.v1)["memory"]) as folders, MemoryAlarm(LAYOUT, CGROUP) as alarm:
        alarm.arm(500 * MIB)
        alarm.arm(10 * MIB)
        assert not alarm.rang.is_set()
        with in_cgroups(folders, "exec tail -c 30000000 /dev/zero"):
            rang = await rings(alarm)
            end_all(folders[0])
        await settle(lambda: not members(folders[0]))
        assert rang


@pytest.mark.skipif(not LAYOUT.unified, reason="cgroup v2 is not mounted")
async def test_processes_that_wait_for_memory_ring(tmp_path: Path) -> None:
    """The files that they write do not fit into the memory that they have."""
    memory = LAYOUT.unified if LAYOUT.is_v2 else dict(LAYOUT.v1)["memory"]
    limit = "memory.max" if LAYOUT.is_v2 else "memory.limit_in_bytes"
    write = f"(while :; do head -c 100000000 /dev/zero > {tmp_path}/$i; done) &"
    roots = dict.fromkeys((memory, LAYOUT.unified))
    with cgroups(*roots) as folders, MemoryAlarm(Layout((), LAYOUT.unified), CGROUP) as alarm:
        (folders[0] / limit).write_text(str(8 * MIB))
        alarm.arm(0)
        with in_cgroups(folders, f"for i in 1 2 3 4; do {write} done; wait"):
            rang = await rings(alarm)
            end_all(folders[0])
        await settle(lambda: not members(folders[0]))
        assert rang
