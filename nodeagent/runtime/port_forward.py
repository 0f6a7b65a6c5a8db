"""Connections to a pod's ports, dialled from inside its network namespace.

Only the making of the socket happens there, in a throw-away thread: a socket keeps the namespace that it was made in,
so that everything else is the event loop's.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nodeagent.runtime import syscalls
from nodeagent.runtime.interface import PortRefused, RuntimeFault
from nodeagent.runtime.process import close_socket

LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
"""In the order in which they are tried."""
CONNECT_TIMEOUT_S = 3
READ_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Connection:
    """Implements PortConnection."""

    port: int
    connection: socket.socket

    async def read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self.connection, READ_BYTES_MAX)
        except OSError as error:
            raise self._broken(error) from error

    async def write(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self.connection, data)
        except OSError as error:
            raise self._broken(error) from error

    async def close_write(self) -> None:
        with contextlib.suppress(OSError):  # it was reset: both directions are over
            self.connection.shutdown(socket.SHUT_WR)

    def _broken(self, error: OSError) -> RuntimeFault:
        return RuntimeFault(f"the connection to port {self.port} broke: {error.strerror}")


@contextlib.asynccontextmanager
async def opened(network: str, port: int) -> AsyncIterator[Connection]:
    """`network` is the path of the pod's network namespace; empty: the agent's own. Raises PortRefused."""
    connection = await _dial(network, port)
    try:
        yield Connection(port, connection)
    finally:
        close_socket(connection)


async def _dial(network: str, port: int) -> socket.socket:
    failures = []
    for family, address in LOOPBACKS:
        try:
            connection = _socket_in(network, family)
        except OSError as error:
            failures.append(f"{address}: {error.strerror}")
            continue
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
            return connection
        except OSError as error:  # TimeoutError is one, without a number
            connection.close()
            failures.append(f"{address}: {os.strerror(error.errno or errno.ETIMEDOUT)}")
        except BaseException:
            connection.close()
            raise
    raise PortRefused(f"failed to connect to localhost:{port} inside the pod: {'; '.join(failures)}")


def _socket_in(network: str, family: socket.AddressFamily) -> socket.socket:
    def make() -> socket.socket:
        if network:
            namespace = os.open(network, os.O_RDONLY)
            try:
                syscalls.setns(namespace, syscalls.CLONE_NEWNET)
            finally:
                os.close(namespace)
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    return syscalls.in_throwaway_thread(make) if network else make()
