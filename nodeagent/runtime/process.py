"""Runs programs from the agent's event loop: no pipes that a container could inherit, no fork of the agent.

`subprocess.Popen` without a preexec_fn is a vfork: its cost does not grow with the agent's memory. The end of a process
is awaited through a pidfd, which works on every event loop and needs no thread and no child watcher. What a program
prints goes to a memfd: whoever else holds it, reading it never blocks.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodeagent.runtime.interface import RuntimeFault

OUTPUT_BYTES_MAX = 64 * 1024
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""What programs see: nothing of the agent's own environment reaches a runtime or a container."""


@dataclass(frozen=True, slots=True)
class Completed:
    exit_code: int
    output: str
    """stdout and stderr together, stripped."""


async def readable(descriptor: int) -> None:
    """Returns when the descriptor has something to read; for a pidfd: when the process has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Returns when the descriptor takes more."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)


async def exited(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a child, which is reaped."""
    pidfd = os.pidfd_open(process.pid)
    try:
        await readable(pidfd)
    finally:
        os.close(pidfd)
    return process.wait()


async def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: str | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Runs a program to its end. Killed when the caller is cancelled. Raises RuntimeFault when it cannot be started or
    does not end in time; a non-zero exit code is the caller's to judge."""
    output = os.memfd_create(os.path.basename(argv[0]))
    try:
        process = start(argv, cwd=cwd, environment=environment, stdout=output, pass_fds=pass_fds)
        try:
            async with asyncio.timeout(timeout_s):
                exit_code = await exited(process)
        except TimeoutError:
            raise RuntimeFault(f"{' '.join(argv[:4])} ... did not end within {timeout_s:g} s") from None
        finally:
            reap(process)
        return Completed(exit_code, os.pread(output, OUTPUT_BYTES_MAX, 0).decode(errors="replace").strip())
    finally:
        os.close(output)


def start(
    argv: Sequence[str],
    *,
    stdout: int,
    stderr: int | None = None,
    stdin: int = subprocess.DEVNULL,
    cwd: str | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Starts a program; `stderr` goes where `stdout` goes unless told. Raises RuntimeFault."""
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stdout if stderr is None else stderr,
            cwd=cwd,
            env=environment,
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise RuntimeFault(f"starting {argv[0]}: {error.strerror}") from error


def close_socket(connection: socket.socket) -> None:
    """Also while a task still waits on it: its number, which goes to the next file opened, is not left watched."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(connection)
    loop.remove_writer(connection)
    connection.close()


def reap(process: subprocess.Popen[bytes]) -> None:
    """Kills the child if it still runs, and leaves no zombie."""
    if process.poll() is None:
        process.kill()
        process.wait()
