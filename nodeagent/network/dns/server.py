"""The DNS server of a node: UDP and TCP on the cluster's DNS address, which is a local address of the node.

A cluster name is answered at once, in the receiving callback; only what must be asked upstream becomes a task. The
sockets may be held by another process, so that queries wait in them while the agent restarts.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import cast

import dns.exception
import dns.message
import dns.rcode
import structlog

from nodeagent.network.dns.answer import Answer, Verdict, Zone, answer
from nodeagent.network.dns.forward import DNS_PORT, Forwarder, UpstreamFailed
from nodeagent.network.dns.message import (
    Question,
    parse_question,
    refusal,
    reply_behind_aliases,
    reply_with,
    udp_wire,
    upstream_query,
)
from nodeagent.network.errors import NetworkFault

log = structlog.get_logger(__name__)

TCP_IDLE_TIMEOUT_S = 10.0
TCP_BACKLOG = 128
TCP_CONNECTIONS_MAX = 500


@dataclass(frozen=True, slots=True)
class DnsSockets:
    udp: socket.socket
    tcp: socket.socket
    """Listening."""

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


def bind_sockets(address: str, port: int = DNS_PORT) -> DnsSockets:
    """Raises NetworkFault when the address is not there or taken."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for made in (udp, tcp):
            made.setblocking(False)
            made.bind((address, port))
        tcp.listen(TCP_BACKLOG)
    except OSError as error:
        DnsSockets(udp, tcp).close()
        raise NetworkFault(f"listen for DNS queries on {address}:{port}: {error.strerror}") from error
    return DnsSockets(udp, tcp)


class DnsServer:
    def __init__(self, zone: Zone, forwarder: Forwarder) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._connections = 0

    async def run(self, sockets: DnsSockets) -> None:
        """Serves until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            transport, _ = await loop.create_datagram_endpoint(lambda: _UdpService(self, tasks), sock=sockets.udp.dup())
            server = await asyncio.start_server(self._serve_connection, sock=sockets.tcp.dup())
            try:
                async with server:
                    await server.serve_forever()
            finally:
                transport.close()

    def reply_at_once(self, wire: bytes) -> dns.message.Message | Question | None:
        """The reply; or the question, when upstream must be asked; or None when there is nothing to answer."""
        question = parse_question(wire)
        if not isinstance(question, Question):
            return question
        found = answer(question.name, question.kind, self._zone)
        if found.verdict is Verdict.ASK_UPSTREAM:
            return question
        try:
            return reply_with(question, found, self._zone.records.domain)
        except dns.exception.DNSException as error:
            # A Service whose externalName is no domain name.
            log.warning("dns_record_broken", name=question.name, fault=str(error))
            return refusal(question.query, dns.rcode.SERVFAIL)

    async def ask_upstream(self, question: Question, wire: bytes, *, tcp: bool) -> bytes:
        """The wire form of the reply: upstream's own, or SERVFAIL."""
        found = answer(question.name, question.kind, self._zone)
        try:
            if not found.records:
                return await self._forwarder.ask(wire, tcp=tcp)
            return await self._ask_behind_aliases(question, found, tcp=tcp)
        except (UpstreamFailed, dns.exception.DNSException) as error:
            log.info("dns_upstream_failed", name=question.name, kind=question.kind, fault=str(error))
            return refusal(question.query, dns.rcode.SERVFAIL).to_wire()

    async def _ask_behind_aliases(self, question: Question, found: Answer, *, tcp: bool) -> bytes:
        query = upstream_query(question, found.ask_for)
        reply = reply_behind_aliases(question, found.records, await self._forwarder.ask(query.to_wire(), tcp=tcp))
        return reply.to_wire() if tcp else udp_wire(reply)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            while self._connections <= TCP_CONNECTIONS_MAX:
                async with asyncio.timeout(TCP_IDLE_TIMEOUT_S):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(length)
                    reply = await self._tcp_reply(wire)
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the client is done, or gone
        finally:
            self._connections -= 1
            writer.close()

    async def _tcp_reply(self, wire: bytes) -> bytes:
        found = self.reply_at_once(wire)
        if found is None:
            raise ConnectionAbortedError
        if isinstance(found, Question):
            return await self.ask_upstream(found, wire, tcp=True)
        return found.to_wire()


class _UdpService(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer, tasks: asyncio.TaskGroup) -> None:
        self._server = server
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        found = self._server.reply_at_once(data)
        if isinstance(found, Question):
            self._tasks.create_task(self._forward(found, data, addr))
        elif found is not None:
            self._transport.sendto(udp_wire(found), addr)

    async def _forward(self, question: Question, wire: bytes, client: tuple[str, int]) -> None:
        self._transport.sendto(await self._server.ask_upstream(question, wire, tcp=False), client)
