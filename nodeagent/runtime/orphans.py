"""Commands that an agent which was killed had begun: a monitor about to fork, an OCI runtime about to create.

They go on without it. Before something half-made is destroyed they are found by the container's id on their command
line, for their pid may not be written anywhere yet. Processes in other PID namespaces are no commands of an agent: a
container's process cannot get itself killed, or another spared, by what it calls itself.
"""

import asyncio
import errno
import os
import signal

from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.process import readable

END_TIMEOUT_S = 10
GONE = (errno.ESRCH, errno.EINVAL)
"""What pidfd_open(2) says of a process that is reaped in this moment; which of the two depends on the kernel."""


async def end_commands(container_id: str) -> None:
    """SIGKILL to all of them, until none is left. Raises RuntimeFault when one does not end."""
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            while pidfds := _commands_of(container_id):
                await _kill(pidfds)
    except TimeoutError:
        raise RuntimeFault(f"commands begun for container {container_id} do not end after SIGKILL") from None


def is_running(container_id: str, verb: str) -> bool:
    """Whether a command of the OCI runtime with this verb works on the container."""
    return any(verb.encode() in _arguments(pid) for pid in _pids() if _is_command(pid, container_id, _own_namespace()))


async def _kill(pidfds: list[int]) -> None:
    try:
        for pidfd in pidfds:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pidfd in pidfds:
            await readable(pidfd)
    except ProcessLookupError:
        pass
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def _commands_of(container_id: str) -> list[int]:
    """Pidfds. A zombie has no command line any more."""
    own_namespace = _own_namespace()
    found = []
    for pid in _pids():
        try:
            pidfd = os.pidfd_open(int(pid))
        except OSError as error:
            if error.errno in GONE:
                continue
            raise
        if _is_command(pid, container_id, own_namespace):
            found.append(pidfd)
        else:
            os.close(pidfd)
    return found


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdecimal()]


def _own_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _is_command(pid: str, container_id: str, own_namespace: str) -> bool:
    named = any(container_id.encode() in argument for argument in _arguments(pid))
    try:
        return named and os.readlink(f"/proc/{pid}/ns/pid") == own_namespace
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _arguments(pid: str) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
