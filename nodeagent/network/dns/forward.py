"""Asks upstream DNS servers what the cluster does not know. Bounded in time and in how many wait at once."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from orch.errors import OrchError

DNS_PORT = 53
UPSTREAM_TIMEOUT_S = 1.5
"""Per server; a resolver in a pod gives up after 5 s."""
UPSTREAM_TRIES_MAX = 2
IN_FLIGHT_MAX = 1_000
MESSAGE_BYTES_MAX = 65_535


class UpstreamFailed(OrchError):
    """No upstream server answered; the message names each and why."""


class Forwarder:
    def __init__(self, servers: Sequence[str], port: int = DNS_PORT) -> None:
        self._servers = tuple(servers)[:UPSTREAM_TRIES_MAX]
        self._port = port
        self._in_flight = 0

    async def ask(self, wire: bytes, *, tcp: bool) -> bytes:
        """The reply to the query `wire`, from the first server that gives one. Raises UpstreamFailed."""
        if self._in_flight >= IN_FLIGHT_MAX:
            raise UpstreamFailed(f"{IN_FLIGHT_MAX} queries wait for upstream servers already")
        self._in_flight += 1
        try:
            return await self._ask_each(wire, self._ask_tcp if tcp else self._ask_udp)
        finally:
            self._in_flight -= 1

    async def _ask_each(self, wire: bytes, ask: Callable[[str, bytes], Awaitable[bytes]]) -> bytes:
        failures = []
        for server in self._servers:
            try:
                async with asyncio.timeout(UPSTREAM_TIMEOUT_S):
                    return await ask(server, wire)
            except TimeoutError:
                failures.append(f"{server}: no answer in {UPSTREAM_TIMEOUT_S} s")
            except (OSError, asyncio.IncompleteReadError) as error:
                failures.append(f"{server}: {error}")
        raise UpstreamFailed("; ".join(failures) or "no upstream server is configured")

    async def _ask_udp(self, server: str, wire: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        # A connected socket of its own per query: a random port, and datagrams of that server only.
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _OneReply(wire, answered), remote_addr=(server, self._port)
        )
        try:
            return await answered
        finally:
            transport.close()

    async def _ask_tcp(self, server: str, wire: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            writer.write(struct.pack("!H", len(wire)) + wire)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return await reader.readexactly(length)
        finally:
            writer.close()


class _OneReply(asyncio.DatagramProtocol):
    """Sends the query; the first datagram with its id is the reply."""

    def __init__(self, wire: bytes, answered: "asyncio.Future[bytes]") -> None:
        self._wire = wire
        self._answered = answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._wire)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[:2] == self._wire[:2] and not self._answered.done():
            self._answered.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc)
