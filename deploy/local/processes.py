"""Background processes that outlive the command that started them, found again by pidfile.

A pidfile holds pid and start time (field 22 of /proc/PID/stat), so that a pid which the kernel gave to somebody else is
never taken for ours, and never killed.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.spec import ClusterError
from orch.kit.files import write_atomic

POLL_S = 0.02
KILL_WAIT_S = 10.0
LOG_TAIL_BYTES = 4096
LOG_LINE_SHOWN_MAX = 300


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    started: int
    """Clock ticks after boot."""

    @property
    def alive(self) -> bool:
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state != "Z"

    def signal(self, number: int) -> None:
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """None when there is no such process. The command in the file may hold spaces and brackets."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return _Stat(fields[0], int(fields[1]), int(fields[19]))


def find(pid: int) -> Process | None:
    stat = _stat(pid)
    return Process(pid, stat.started) if stat else None


def children(pid: int) -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        stat = _stat(int(entry)) if entry.isdigit() else None
        if stat is not None and stat.parent == pid:
            yield Process(int(entry), stat.started)


def words(pid: int) -> list[bytes]:
    """The command line; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def runs(process: Process, executable: str) -> bool:
    """Whether it executes that file, directly or as a script."""
    return any(os.path.basename(word) == executable.encode() for word in words(process.pid)[:2])


def read(pidfile: Path) -> Process | None:
    """The living process of a pidfile."""
    try:
        process = Process(**json.loads(pidfile.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if process.alive else None


def write(pidfile: Path, process: Process) -> None:
    write_atomic(pidfile, json.dumps({"pid": process.pid, "started": process.started}).encode())


def spawn(command: Sequence[str], log: Path, *, environment: dict[str, str] | None = None) -> Process:
    """Starts it in a session of its own, writing to `log`. Raises ClusterError when the executable is missing."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(log, "ab") as out:
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", start_new_session=True,
                env=os.environ | (environment or {}),
            )  # fmt: skip
        except FileNotFoundError:
            raise ClusterError(f"{command[0]} is not installed: 'make up' installs what is needed") from None
    _ABANDONED.append(child)
    process = find(child.pid)
    assert process is not None, "an unreaped child has an entry in /proc"
    return process


_ABANDONED: list["subprocess.Popen[bytes]"] = []
"""Children that are meant to outlive us; kept, since a Popen that is collected while its child runs warns of it."""


def reap() -> None:
    """Collects children that have ended, so that they do not stay as zombies while we run."""
    for child in _ABANDONED:
        child.poll()


def stop(process: Process, *, grace_s: float, number: int = signal.SIGTERM) -> None:
    """Asks it to end, and kills it when it has not after `grace_s`. Raises ClusterError if even that does not help."""
    process.signal(number)
    if not _gone_within(process, grace_s):
        process.signal(signal.SIGKILL)
        if not _gone_within(process, KILL_WAIT_S):
            raise ClusterError(f"process {process.pid} does not end even by SIGKILL: it hangs in the kernel")


def _gone_within(process: Process, seconds: float) -> bool:
    return wait_for(lambda: not process.alive, seconds)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        reap()
        time.sleep(POLL_S)
    return True


def last_line(log: Path) -> str:
    """What a process said last, for an error message."""
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    return lines[-1][:LOG_LINE_SHOWN_MAX] if lines else "it said nothing"
