"""The streams of a container's first process, through its monitor's socket (conmon, `attach` in the bundle).

The monitor sends packets, one byte for the stream before the data, to everyone who is connected, and takes raw bytes as
input; an empty packet is the input's end. Its socket closes when the container's output is over. It waits for whoever
does not read, and with it the container, its other readers and the news of its end; so a reader may be slow, but one
that stands still is cut off.
Invariant: no packet sent is longer than what the monitor reads at once, or its end would be lost.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from nodeagent.runtime import conmon
from nodeagent.runtime.conmon import Monitored
from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.process import close_socket, writable

SOCKET_NAME = "attach"
PACKET_BYTES_MAX = 8 * 1024
RECEIVE_BYTES_MAX = 64 * 1024
STALL_MAX_S = 5
"""How long a reader may take over one packet."""
LEAVE_MAX_S = 1
LEAVE_LOOK_INTERVAL_S = 0.005
"""How long, and how often, whoever leaves looks whether the monitor has heard that the input is over."""
DISCARDED_PACKETS_MAX = 64
"""At a time: a container that never stops writing must not hold the agent up."""
STREAMS = {2: 1, 3: 2}
"""The packet's first byte -> 1 (stdout) or 2 (stderr). With a terminal all of it is stdout."""


@dataclass(slots=True)
class Attached:
    """Implements ExecSession."""

    container: Monitored
    connection: socket.socket
    stdin: bool
    ended: Callable[[], Awaitable[int]]
    """Returns the container's exit code once it has ended."""
    is_cut_off: bool = False

    async def write_stdin(self, data: bytes) -> None:
        """Waits while the container does not read. What comes after its end is dropped."""
        if not self.stdin:
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(data), PACKET_BYTES_MAX):
                await loop.sock_sendall(self.connection, data[start : start + PACKET_BYTES_MAX])

    async def close_stdin(self) -> None:
        """With stdinOnce the container's input ends; else it goes on, for whoever attaches next."""
        if self.stdin and self.container.stdin_once:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while not _tell_end(self.connection):
                    await writable(self.connection.fileno())

    async def resize(self, columns: int, rows: int) -> None:
        if self.container.tty:
            conmon.resize_terminal(self.container, columns, rows)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionResetError):
            while packet := await loop.sock_recv(self.connection, RECEIVE_BYTES_MAX):
                if (stream := STREAMS.get(packet[0])) is not None:
                    stalled = loop.call_later(STALL_MAX_S, self._cut_off)
                    yield stream, packet[1:]
                    stalled.cancel()
        if self.is_cut_off:
            raise RuntimeFault(f"attach: its reader took nothing for {STALL_MAX_S} s, and held the container up")

    def _cut_off(self) -> None:
        self.is_cut_off = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    async def wait(self) -> int:
        return await self.ended()


class Attachments:
    """With stdinOnce the monitor takes the leaving of anyone for the end of the input, also of one who only watched.
    So a watcher's connection is kept, deaf, until the container is removed."""

    def __init__(self) -> None:
        self._deaf: dict[str, list[socket.socket]] = {}

    @contextlib.asynccontextmanager
    async def opened(
        self, container: Monitored, *, stdin: bool, ended: Callable[[], Awaitable[int]]
    ) -> AsyncIterator[Attached]:
        """Raises RuntimeFault."""
        connection = _connect(container)
        try:
            yield Attached(container, connection, stdin and container.stdin, ended)
        finally:
            try:
                if container.stdin_once and stdin:
                    await _leave(connection)
                elif container.stdin_once:
                    self._deafen(container.container_id, connection)
            finally:
                close_socket(connection)

    def forget(self, container_id: str) -> None:
        for connection in self._deaf.pop(container_id, ()):
            connection.close()

    def _deafen(self, container_id: str, connection: socket.socket) -> None:
        """Nothing is sent to it any more, so it cannot hold the container back."""
        with contextlib.suppress(OSError):  # the container has ended
            connection.shutdown(socket.SHUT_RD)
            self._deaf.setdefault(container_id, []).append(connection.dup())


async def _leave(connection: socket.socket) -> None:
    """Ends the input, and takes what comes until the monitor has heard it. One that finds its reader gone before it
    has read the end keeps the input open for ever (conmon's terminate_remote_sock looks at what it has just freed)."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        async with asyncio.timeout(LEAVE_MAX_S):
            while True:
                _tell_end(connection)  # refused once the monitor has shut its side
                _discard(connection)
                await asyncio.sleep(LEAVE_LOOK_INTERVAL_S)


def _tell_end(connection: socket.socket) -> bool:
    """False: there is no room for it now. Raises BrokenPipeError, ConnectionResetError."""
    try:
        connection.send(b"")
    except BlockingIOError:
        return False
    return True


def _discard(connection: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        for _ in range(DISCARDED_PACKETS_MAX):
            connection.recv(RECEIVE_BYTES_MAX)


def _connect(container: Monitored) -> socket.socket:
    """Through the folder's descriptor: the path of a socket may have 107 bytes, that of a bundle more."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        directory = os.open(container.directory, os.O_PATH)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
        finally:
            os.close(directory)
    except OSError as error:
        connection.close()
        raise RuntimeFault(f"attach to container {container.container_id}: {error.strerror}") from error
    connection.setblocking(False)
    return connection
