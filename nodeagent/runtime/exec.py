"""A command run in a container beside its first process, with its streams in the agent's hands.

The runtime's `exec` is a child of the agent. Without a terminal its streams are pipes, read only when somebody asks
for output: a slow reader holds the command back, no buffer grows. With a terminal the runtime makes it inside the
container and hands its master over a socket, or (runc) copies between it and one that the agent made. Reading ends
when the command has ended and what it wrote is read, not when the last holder of a pipe is gone: a daemon it left
behind cannot hold the session open.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
import tty
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodeagent.runtime.conmon import read_pid
from nodeagent.runtime.crun import OciRuntime
from nodeagent.runtime.interface import CommandNotStarted, RuntimeFault
from nodeagent.runtime.process import reap, start
from nodeagent.runtime.syscalls import write_file

CHUNK_BYTES = 32 * 1024
START_TIMEOUT_S = 30
REAP_TIMEOUT_S = 2
STDOUT, STDERR = 1, 2
STARTS_COMMAND = re.compile(r'executable file|open executable|^exec:|process: exec: "')
"""In what crun, or runc, says: it had come as far as the command itself."""
NOT_FOUND = ("executable file not found in $PATH", 127)
REASONS = {
    "denied": ("permission denied", 126),
    "not permitted": ("permission denied", 126),
    "format error": ("exec format error", 126),
}
"""What it says -> the reason and the exit code that a shell would give; what stands in none was not found."""
CONTAINER = "container"
"""File with the id of the container that a command runs in, for an agent that comes later."""
END_OF_TRANSMISSION = b"\x04"
"""A terminal has no half-close; this is what a person types."""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """`process` is an OCI process object; `folder` is new and this command's own."""

    container_id: str
    process: dict[str, Any]
    folder: str
    stdin: bool

    @property
    def tty(self) -> bool:
        return bool(self.process["terminal"])

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)


@dataclass(slots=True)
class RunningExec:
    """Implements ExecSession. Descriptors are non-blocking and its own."""

    request: ExecRequest
    process: "subprocess.Popen[bytes]"
    pidfd: int
    stdin: int | None
    outputs: dict[int, int]
    """Descriptor -> 1 (stdout) or 2 (stderr)."""
    copies_terminal: bool = False
    """The terminal is between the agent and the runtime, which must be told of a new size."""
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: list[asyncio.Event] = field(default_factory=list)

    def watch(self) -> None:
        asyncio.get_running_loop().add_reader(self.pidfd, self._on_end)

    async def write_stdin(self, data: bytes) -> None:
        """Waits while the command does not read. What a command that has closed its stdin gets is dropped."""
        while data and self.stdin is not None:
            try:
                data = data[os.write(self.stdin, data) :]
            except BlockingIOError:
                await self._until(writable=[self.stdin])
            except (BrokenPipeError, OSError):
                self._close_stdin()

    async def close_stdin(self) -> None:
        if self.request.tty:
            await self.write_stdin(END_OF_TRANSMISSION)
        else:
            self._close_stdin()

    async def resize(self, columns: int, rows: int) -> None:
        if self.request.tty and self.stdin is not None:
            fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            if self.copies_terminal and not self._ended.is_set():
                signal.pidfd_send_signal(self.pidfd, signal.SIGWINCH)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while self.outputs:
            ended = self._ended.is_set()  # asked before reading: what it wrote before it ended is then there to read
            chunks = [(stream, data) for fd, stream in list(self.outputs.items()) if (data := self._read(fd))]
            for chunk in chunks:
                yield chunk
            if not chunks and ended:
                return
            if not chunks and self.outputs:
                await self._until(readable=list(self.outputs))

    async def wait(self) -> int:
        await self._ended.wait()
        fault = _logged_fault(self.request.path("log"))
        if self.process.returncode != 0 and fault:
            raise start_fault(self.request.process["args"][0], fault)
        return self.process.returncode

    async def close(self) -> None:
        """Kills the command if it runs. The runtime gets a moment to reap it: an orphan's zombie holds up the end of
        the container's PID namespace until the host's process 1 finds it."""
        try:
            if not self._ended.is_set():
                _kill(self.request.folder, self.request.container_id)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REAP_TIMEOUT_S):
                        await self._ended.wait()
        finally:
            self._release()

    def _release(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        reap(self.process)
        self._close_stdin()
        for descriptor in {*self.outputs, self.pidfd}:
            os.close(descriptor)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        self.process.wait()
        for event in (self._ended, *self._waiting):
            event.set()

    def _read(self, descriptor: int) -> bytes:
        """What is there to read; closes at the end of the stream (which a terminal reports as EIO)."""
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            del self.outputs[descriptor]
            os.close(descriptor)
        return data

    def _close_stdin(self) -> None:
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    async def _until(self, *, readable: Sequence[int] = (), writable: Sequence[int] = ()) -> None:
        """Until one of the descriptors is ready or the command ends."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._waiting.append(woken)
        for descriptor in readable:
            loop.add_reader(descriptor, woken.set)
        for descriptor in writable:
            loop.add_writer(descriptor, woken.set)
        try:
            await woken.wait()
        finally:
            self._waiting.remove(woken)
            for descriptor in readable:
                loop.remove_reader(descriptor)
            for descriptor in writable:
                loop.remove_writer(descriptor)

    async def take_terminal(self, listener: socket.socket) -> None:
        """The terminal's master, which the runtime sends once it has made it; nothing when it fails before."""
        await self._until(readable=[listener.fileno()])
        with contextlib.suppress(BlockingIOError), listener.accept()[0] as connection:
            connection.setblocking(False)
            await self._until(readable=[connection.fileno()])
            _, descriptors, _, _ = socket.recv_fds(connection, CHUNK_BYTES, 1)
            for master in descriptors:
                os.set_blocking(master, False)
                self.outputs[master] = STDOUT
                self.stdin = os.dup(master)


def _kill(folder: str, container_id: str) -> None:
    """With its process group, which is of a session of its own, though crun does not let the command lead it. Its
    cgroup proves that the pid has not gone to another process."""
    pid = read_pid(os.path.join(folder, "pid"))
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if pid is None:
            return
        with open(f"/proc/{pid}/cgroup") as file:
            if container_id in file.read():
                group = os.getpgid(pid)
                os.kill(pid, signal.SIGKILL)
                if group != os.getpgrp():
                    os.killpg(group, signal.SIGKILL)


def end_left(folder: str) -> None:
    """Kills the commands that a killed agent left, of whose folders `folder` is made, and removes it: what began them
    begins them again."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            left = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError), open(os.path.join(left, CONTAINER)) as file:
                if container_id := file.read():
                    _kill(left, container_id)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def opened(oci: OciRuntime, request: ExecRequest) -> AsyncIterator[RunningExec]:
    """Starts the command. Raises RuntimeFault."""
    os.makedirs(request.folder, mode=0o700)
    try:
        write_file(request.path(CONTAINER), request.container_id.encode())
        write_file(request.path("process.json"), json.dumps(request.process).encode())
        session = await _start(oci, request)
        try:
            yield session
        finally:
            await session.close()
    finally:
        shutil.rmtree(request.folder)


async def _start(oci: OciRuntime, request: ExecRequest) -> RunningExec:
    if not request.tty:
        return _with_pipes(oci, request)
    return await _with_terminal(oci, request) if oci.hands_over_terminals else _with_copied_terminal(oci, request)


def _with_copied_terminal(oci: OciRuntime, request: ExecRequest) -> RunningExec:
    master, slave = os.openpty()
    tty.setraw(slave)  # all that is typed is for the terminal in the container, from the first byte on
    try:
        process = start(_argv(oci, request), stdin=slave, stdout=slave)
    except RuntimeFault:
        os.close(master)
        raise
    finally:
        os.close(slave)
    os.set_blocking(master, False)
    session = RunningExec(
        request, process, os.pidfd_open(process.pid), os.dup(master), {master: STDOUT}, copies_terminal=True
    )
    session.watch()
    return session


def _with_pipes(oci: OciRuntime, request: ExecRequest) -> RunningExec:
    ours_out, theirs_out = os.pipe2(os.O_CLOEXEC)
    ours_err, theirs_err = os.pipe2(os.O_CLOEXEC)
    theirs_in, ours_in = os.pipe2(os.O_CLOEXEC) if request.stdin else (os.open(os.devnull, os.O_RDONLY), None)
    try:
        process = start(_argv(oci, request), stdin=theirs_in, stdout=theirs_out, stderr=theirs_err)
    except RuntimeFault:
        for descriptor in (ours_out, ours_err, *([] if ours_in is None else [ours_in])):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (theirs_out, theirs_err, theirs_in):
            os.close(descriptor)
    for descriptor in (ours_out, ours_err, *([] if ours_in is None else [ours_in])):
        os.set_blocking(descriptor, False)
    session = RunningExec(request, process, os.pidfd_open(process.pid), ours_in, {ours_out: STDOUT, ours_err: STDERR})
    session.watch()
    return session


async def _with_terminal(oci: OciRuntime, request: ExecRequest) -> RunningExec:
    path = request.path("console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        process = start([*_argv(oci, request, "--console-socket", path)], stdout=subprocess.DEVNULL)
        session = RunningExec(request, process, os.pidfd_open(process.pid), None, {})
        session.watch()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await session.take_terminal(listener)
        except TimeoutError:
            await session.close()
            raise RuntimeFault(
                f"exec in container {request.container_id}: no terminal within {START_TIMEOUT_S} s"
            ) from None
        except BaseException:
            await session.close()
            raise
    return session


def start_fault(command: str, said: str) -> RuntimeFault:
    """What the runtime said, in the words that both of them and everybody's scripts know: a command that could not be
    started is told from a container that could not be entered."""
    what = "OCI runtime exec failed: exec failed: unable to start container process"
    if not STARTS_COMMAND.search(said):
        return RuntimeFault(f"{what}: {said}")
    reason, exit_code = next((REASONS[key] for key in REASONS if key in said.lower()), NOT_FOUND)
    if exit_code == NOT_FOUND[1] and "/" in command:
        reason = f"stat {command}: no such file or directory"
    return CommandNotStarted(f'{what}: exec: "{command}": {reason}', exit_code)


def _argv(oci: OciRuntime, request: ExecRequest, *more: str) -> list[str]:
    files = ["--process", request.path("process.json"), "--pid-file", request.path("pid")]
    log = ["--log", request.path("log"), "--log-format", "json"]
    return [oci.binary, "--root", oci.root, *log, "exec", *files, *more, request.container_id]


def _logged_fault(path: str) -> str:
    """What the runtime said last; empty when it has nothing to say."""
    try:
        with open(path, errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return ""
    try:
        return str(json.loads(lines[-1])["msg"]).strip() if lines else ""
    except ValueError:  # it was killed in the middle of the line
        return lines[-1]
