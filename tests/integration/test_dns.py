"""The DNS server over real sockets, asked by dnspython's client, with an upstream server of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Network

import dns.asyncquery
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from nodeagent.network.dns.answer import Zone
from nodeagent.network.dns.forward import Forwarder
from nodeagent.network.dns.records import ClusterRecords
from nodeagent.network.dns.server import DnsServer, DnsSockets, bind_sockets
from nodeagent.network.errors import NetworkFault
from orch.api.endpointslice import Endpoint, EndpointPort, EndpointSlice
from orch.api.meta import ObjectMeta
from orch.api.service import Service, ServicePort, ServiceSpec

HERE = "127.0.0.1"
WEB = "web.shop.svc.cluster.local."
MANY = 60


def service(name: str, **spec: object) -> Service:
    return Service(metadata=ObjectMeta(namespace="shop", name=name), spec=ServiceSpec(**spec))  # type: ignore[arg-type]


def records() -> ClusterRecords:
    found = ClusterRecords("cluster.local")
    found.apply_service(None, service("web", cluster_ip="10.96.0.20", ports=(ServicePort(name="http", port=80),)))
    found.apply_service(None, service("away", type="ExternalName", external_name="up.example"))
    found.apply_service(None, service("broken", type="ExternalName", external_name="x." * 200))
    found.apply_service(None, service("many", cluster_ip="None"))
    many = EndpointSlice(
        metadata=ObjectMeta(namespace="shop", name="many-1", labels={"kubernetes.io/service-name": "many"}),
        address_type="IPv4",
        ports=(EndpointPort(name="x", port=1),),
        endpoints=tuple(Endpoint(addresses=(f"10.244.1.{n + 1}",)) for n in range(MANY)),
    )
    found.apply_slice(None, many)
    return found


class Asker:
    def __init__(self, port: int) -> None:
        self.port = port

    async def udp(self, name: str, kind: str = "A", **edns: int) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **edns)  # type: ignore[arg-type]
        return await dns.asyncquery.udp(query, HERE, port=self.port, timeout=5)

    async def tcp(self, name: str, kind: str = "A") -> dns.message.Message:
        return await dns.asyncquery.tcp(dns.message.make_query(name, kind), HERE, port=self.port, timeout=5)


def bound() -> tuple[DnsSockets, int]:
    """UDP and TCP on one free port of loopback."""
    with socket.create_server((HERE, 0)) as probe:
        port = probe.getsockname()[1]
    return bind_sockets(HERE, port), port


class Upstream(asyncio.DatagramProtocol):
    """Knows up.example as 192.0.2.1, and answers nothing about silent.example."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        if "silent" in query.question[0].name.to_text():
            return
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1"))
        self.transport.sendto(reply.to_wire(), addr)  # type: ignore[attr-defined]


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    loop = asyncio.get_running_loop()
    upstream, _ = await loop.create_datagram_endpoint(Upstream, local_addr=(HERE, 0))
    upstream_port = upstream.get_extra_info("sockname")[1]
    sockets, port = bound()
    zone = Zone(records(), (IPv4Network("10.244.0.0/16"),))
    running = loop.create_task(DnsServer(zone, Forwarder([HERE], upstream_port)).run(sockets))
    yield Asker(port)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    sockets.close()
    upstream.close()


async def test_a_cluster_name_is_answered_with_authority(asker: Asker) -> None:
    for reply in (await asker.udp(WEB), await asker.tcp(WEB), await asker.udp(WEB.upper())):
        assert reply.answer[0].to_text().lower() == f"{WEB} 5 in a 10.96.0.20"
        assert reply.flags & dns.flags.AA
        assert reply.flags & dns.flags.RA


async def test_a_missing_name_is_nxdomain_and_a_missing_type_is_nodata(asker: Asker) -> None:
    missing = await asker.udp("nope.shop.svc.cluster.local.")
    assert missing.rcode() == dns.rcode.NXDOMAIN
    assert missing.authority[0].rdtype == dns.rdatatype.SOA
    nodata = await asker.udp(WEB, "AAAA")
    assert (nodata.rcode(), nodata.answer) == (dns.rcode.NOERROR, [])
    assert nodata.authority[0].rdtype == dns.rdatatype.SOA


async def test_what_does_not_fit_is_cut_short_and_whole_over_tcp(asker: Asker) -> None:
    name = "many.shop.svc.cluster.local."
    short = await asker.udp(name)
    assert short.flags & dns.flags.TC
    assert len((await asker.tcp(name)).answer[0]) == MANY
    assert len((await asker.udp(name, use_edns=0, payload=4096)).answer[0]) == MANY


async def test_other_names_come_from_upstream(asker: Asker) -> None:
    assert (await asker.udp("up.example.")).answer[0].to_text() == "up.example. 60 IN A 192.0.2.1"


async def test_an_alias_is_followed_upstream(asker: Asker) -> None:
    reply = await asker.udp("away.shop.svc.cluster.local.")
    assert [rrset.to_text() for rrset in reply.answer] == [
        "away.shop.svc.cluster.local. 5 IN CNAME up.example.",
        "up.example. 60 IN A 192.0.2.1",
    ]


async def test_a_silent_upstream_is_servfail_in_time_and_holds_nobody_up(asker: Asker) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    slow = loop.create_task(asker.udp("silent.example."))
    await asyncio.sleep(0.05)
    assert (await asker.udp(WEB)).answer
    assert loop.time() - began < 1
    assert (await slow).rcode() == dns.rcode.SERVFAIL
    assert loop.time() - began < 2


async def test_an_upstream_that_refuses_is_servfail(asker: Asker) -> None:
    assert (await asker.tcp("up.example.")).rcode() == dns.rcode.SERVFAIL


async def test_a_broken_external_name_is_servfail_and_breaks_nothing(asker: Asker) -> None:
    assert (await asker.udp("broken.shop.svc.cluster.local.", "CNAME")).rcode() == dns.rcode.SERVFAIL
    assert (await asker.udp(WEB)).answer


async def test_what_is_no_query_is_refused_or_left_alone(asker: Asker) -> None:
    notify = dns.message.make_query(WEB, "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    reply = await dns.asyncquery.udp(notify, HERE, port=asker.port, timeout=5)
    assert reply.rcode() == dns.rcode.NOTIMP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"\0\1garbage", (HERE, asker.port))
    assert (await asker.udp(WEB)).answer


async def test_first_addresses_differ_between_queries(asker: Asker) -> None:
    name = "many.shop.svc.cluster.local."
    firsts = {(await asker.udp(name, use_edns=0, payload=4096)).answer[0][0].to_text() for _ in range(10)}
    assert len(firsts) > 1


async def test_queries_wait_in_held_sockets_while_the_server_restarts() -> None:
    sockets, port = bound()
    zone = Zone(records(), ())
    loop = asyncio.get_running_loop()
    early = loop.create_task(Asker(port).udp(WEB))
    await asyncio.sleep(0.05)
    for _ in range(2):
        running = loop.create_task(DnsServer(zone, Forwarder([])).run(sockets))
        assert (await early).answer
        running.cancel()
        await asyncio.wait([running])
        early = loop.create_task(Asker(port).udp(WEB))
        await asyncio.sleep(0.05)
    early.cancel()
    await asyncio.wait([early])
    sockets.close()


def test_an_address_that_is_taken_is_reported() -> None:
    sockets, port = bound()
    with pytest.raises(NetworkFault, match=f"listen for DNS queries on 127.0.0.1:{port}: Address already in use"):
        bind_sockets(HERE, port)
    sockets.close()
