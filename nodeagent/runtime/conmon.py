"""The container's monitor, conmon: one small process per container that outlives the agent.

It holds the container's streams, writes its log in CRI format and its exit code into a file. It is told to create the
container and reports once over a pipe (`_OCI_SYNCPIPE`) whether that worked; the pipe is close-on-exec in it, so that
neither the runtime nor the container inherits it. Invariant: a monitor that ended without an exit file was killed.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass

import msgspec

from nodeagent.runtime import orphans
from nodeagent.runtime.crun import OciRuntime
from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.process import ENVIRONMENT, readable, start

CREATE_TIMEOUT_S = 30
CREATE_CHECK_INTERVAL_S = 1
"""Creating takes some 20 ms. After this long it is worth a look whether the runtime is still at it."""
CREATE_LOOKS_MAX = 3
"""How often in a row it may be seen not at it: on a busy machine it takes the monitor seconds to begin."""
SYNC_BYTES_MAX = 64 * 1024
REOPEN_LOG = "2 0 0"
RESIZE_TERMINAL = "1 {rows} {columns}"
"""What the control fifo takes, a line each."""
PID_FILE, CONTAINER_PID_FILE, OUTPUT_FILE, CONTROL_FIFO = "conmon.pid", "pid", "conmon.log", "ctl"


@dataclass(frozen=True, slots=True)
class Monitored:
    """One container from its monitor's side. `directory` is the bundle, where all of the monitor's files go."""

    container_id: str
    directory: str
    log_path: str
    tty: bool
    stdin: bool
    stdin_once: bool

    @property
    def exit_file(self) -> str:
        return os.path.join(self.directory, self.container_id)


class _Report(msgspec.Struct):
    pid: int = -1
    message: str = ""


async def create(binary: str, runtime: OciRuntime, container: Monitored) -> int:
    """Starts the monitor, which creates the container. Returns the pid of its first process. Raises RuntimeFault with
    what the runtime said."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        try:
            launcher = _launch(binary, runtime, container, write_end)
        finally:
            os.close(write_end)
        try:
            async with asyncio.timeout(CREATE_TIMEOUT_S):
                text = await _await_report(read_end, container)
        finally:
            # It forks the monitor, writes its pid and ends, all within milliseconds. Killing it half-way, when the
            # caller is cancelled, would leave a monitor that nobody knows.
            launcher.wait()
    except TimeoutError:
        raise RuntimeFault(f"creating container {container.container_id} took over {CREATE_TIMEOUT_S} s") from None
    finally:
        os.close(read_end)
    report = msgspec.json.decode(text, type=_Report) if text else _Report(message=_last_output(container.directory))
    if report.pid <= 0:
        raise RuntimeFault(f"creating container {container.container_id}: {report.message.strip()}")
    return report.pid


def _launch(binary: str, runtime: OciRuntime, container: Monitored, write_end: int) -> "subprocess.Popen[bytes]":
    wanted = {
        "--terminal": container.tty,
        "--stdin": container.stdin,
        "--leave-stdin-open": container.stdin and not container.stdin_once,
    }
    flags = [flag for flag, given in wanted.items() if given]
    argv = [
        binary, "--cid", container.container_id, "--cuuid", container.container_id, "--name", container.container_id,
        "--runtime", runtime.binary, "--runtime-arg", "--root", "--runtime-arg", runtime.root,
        "--bundle", container.directory, "--exit-dir", container.directory, "--full-attach",
        "--conmon-pidfile", os.path.join(container.directory, PID_FILE),
        "--container-pidfile", os.path.join(container.directory, CONTAINER_PID_FILE),
        "--log-path", f"k8s-file:{container.log_path}", "--log-level", "error", "--no-sync-log", *flags,
    ]  # fmt: skip
    environment = {**ENVIRONMENT, "_OCI_SYNCPIPE": str(write_end)}
    with open(os.path.join(container.directory, OUTPUT_FILE), "ab") as output:
        return start(
            argv, cwd=container.directory, environment=environment, stdout=output.fileno(), pass_fds=[write_end]
        )


async def _await_report(read_end: int, container: Monitored) -> bytes:
    """One line; empty when the monitor, or what creates the container for it, died without a word. A monitor whose
    runtime was killed waits for ever: the half-made container holds the other end of what it reads."""
    text, looks = bytearray(), 0
    while True:
        try:
            async with asyncio.timeout(CREATE_CHECK_INTERVAL_S):
                await _read_report(read_end, text)
            return bytes(text)
        except TimeoutError:
            looks = 0 if orphans.is_running(container.container_id, "create") else looks + 1
            if looks == CREATE_LOOKS_MAX:
                return b""


async def _read_report(read_end: int, text: bytearray) -> None:
    while not text.endswith(b"\n") and len(text) < SYNC_BYTES_MAX:
        await readable(read_end)
        chunk = os.read(read_end, SYNC_BYTES_MAX)
        if not chunk:
            break
        text += chunk


def _last_output(directory: str) -> str:
    with open(os.path.join(directory, OUTPUT_FILE), errors="replace") as file:
        return file.read(SYNC_BYTES_MAX) or "it ended without a word"


def open_monitor(container: Monitored) -> int | None:
    """A pidfd of the container's monitor; None when it has ended. The command line proves that it is the one."""
    pid = read_pid(os.path.join(container.directory, PID_FILE))
    if pid is None:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/cmdline", "rb") as file:
        if container.container_id.encode() in file.read():
            return pidfd
    os.close(pidfd)
    return None


async def kill_monitor(container: Monitored) -> None:
    """Kills the monitor and a runtime command that it is running: they share a session. Returns when it is gone."""
    pidfd = open_monitor(container)
    pid = read_pid(os.path.join(container.directory, PID_FILE))
    if pidfd is None or pid is None:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await readable(pidfd)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def reopen_log(container: Monitored) -> None:
    """After its log was renamed: what comes now goes into a new file. Raises RuntimeFault."""
    _tell(container, REOPEN_LOG)


def resize_terminal(container: Monitored, columns: int, rows: int) -> None:
    """Raises RuntimeFault."""
    _tell(container, RESIZE_TERMINAL.format(rows=rows, columns=columns))


def _tell(container: Monitored, line: str) -> None:
    try:
        control = os.open(os.path.join(container.directory, CONTROL_FIFO), os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(control, f"{line}\n".encode())
        finally:
            os.close(control)
    except OSError as error:
        raise RuntimeFault(f"telling the monitor of {container.container_id}: {error.strerror}") from error


def read_pid(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return None
