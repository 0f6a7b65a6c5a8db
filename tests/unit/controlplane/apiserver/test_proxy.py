"""The proxy subresources, with a web server in the place of the pod's."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from controlplane.apiserver.proxy_headers import relocated
from controlplane.apiserver.server import server_tls
from controlplane.apiserver.settings import TlsFiles
from orch.api.endpoints import EndpointAddress, Endpoints, EndpointsPort, EndpointSubset
from orch.api.kinds import ENDPOINTS, PODS, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.api.shared import ObjectReference
from orch.client.http import tls_context
from orch.errors import ServiceUnavailable
from orch.kit.clock import SystemClock
from orch.pki import create_ca, issue
from tests import builders
from tests.apiserver import RunningServer
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams
from tests.unit.controlplane.apiserver.test_portforward import no_forward_left

PODS_PATH = "/api/v1/namespaces/default/pods"
SERVICES_PATH = "/api/v1/namespaces/default/services"
BIG = b"0123456789abcdef" * 256 * 1024


async def handle(request: web.BaseRequest) -> web.StreamResponse:
    """Answers as its path says."""
    if request.path == "/socket":
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            await (socket.send_str(message.data) if isinstance(message.data, str) else socket.send_bytes(message.data))
        return socket
    if request.path == "/moved":
        return web.Response(status=302, headers={"Location": request.query_string or "/there?x=1"})
    if request.path == "/broken":
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response
    if request.path == "/echo":
        response = web.StreamResponse(
            status=201, headers={"X-Method": request.method, "Connection": "X-Gone", "X-Gone": "1"}
        )
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk)
        return response
    return web.json_response({"method": request.method, "target": request.raw_path, "headers": dict(request.headers)})


@pytest.fixture(autouse=True)
async def pod_server(api: FakeApi, streams: FakeStreams, tmp_path: Path) -> AsyncIterator[None]:
    await api.put(PODS, builders.pod("web", node="node-1"))
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ca = create_ca("pod", now=SystemClock().now())
    pair = issue(ca, "pod", now=SystemClock().now(), dns_names=["pod"])
    for name, data in (("pod.crt", pair.cert_pem), ("pod.key", pair.key_pem), ("pod-ca.crt", ca.cert_pem)):
        (tmp_path / name).write_bytes(data)
    tls = server_tls(TlsFiles(*(str(tmp_path / name) for name in ("pod.crt", "pod.key", "pod-ca.crt"))))
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    plain, secure = (address[1] for address in runner.addresses)
    streams.ports = {80: plain, 8080: plain, 443: secure}
    yield
    await runner.cleanup()


async def a_service(api: FakeApi, *ready: EndpointAddress, port_name: str | None = None) -> None:
    meta = ObjectMeta(name="front", namespace="default")
    await api.put(SERVICES, Service(metadata=meta, spec=ServiceSpec(ports=(ServicePort(port=9, name=port_name),))))
    subset = EndpointSubset(addresses=ready, ports=(EndpointsPort(port=8080, name=port_name),))
    await api.put(ENDPOINTS, Endpoints(metadata=meta, subsets=(subset,)))


POD_ADDRESS = EndpointAddress(ip="10.0.0.1", target_ref=ObjectReference(kind="Pod", namespace="default", name="web"))


async def test_the_rest_of_the_path_is_the_pods(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    headers = {
        "Authorization": "Bearer secret",
        "Impersonate-User": "anna",
        "Impersonate-Group": "system:masters",
        "X-Own": "1",
        "Accept": "text/html",
        "X-Forwarded-For": "1.2.3.4",
    }
    async with http.get(f"{PODS_PATH}/web:8080/proxy/a%2Fb//c/?q=%20x&y", headers=headers) as response:
        seen = await response.json()
    assert seen["target"] == "/a%2Fb//c/?q=%20x&y"
    got = seen["headers"]
    assert (got["X-Own"], got["Accept"], got["X-Forwarded-For"]) == ("1", "text/html", "1.2.3.4, 127.0.0.1")
    assert got["X-Forwarded-Uri"] == f"{PODS_PATH}/web:8080/proxy/a%2Fb//c/"
    assert (got["X-Forwarded-Proto"], got["X-Forwarded-Host"]) == ("https", got["Host"])
    assert "Authorization" not in got
    assert not [name for name in got if name.startswith("Impersonate")]
    assert streams.forwards[0].port == 8080


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_bodies_go_both_ways(http: aiohttp.ClientSession, streams: FakeStreams, method: str) -> None:
    async with http.request(method, f"{PODS_PATH}/web/proxy/echo", data=io.BytesIO(BIG)) as response:
        assert (response.status, response.headers["X-Method"], await response.read()) == (201, method, BIG)
        assert "X-Gone" not in response.headers
    await no_forward_left(streams)


async def test_head_has_no_body(http: aiohttp.ClientSession) -> None:
    async with http.head(f"{PODS_PATH}/web/proxy/x") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_https_when_the_name_says_so(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    async with http.get(f"{PODS_PATH}/https:web:/proxy/x") as response:
        assert (await response.json())["target"] == "/x"
    assert streams.forwards[0].port == 443


async def test_a_path_without_root_is_sent_there(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{PODS_PATH}/web/proxy?q=1", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (301, f"{PODS_PATH}/web/proxy/?q=1")


async def test_redirects_stay_behind_the_proxy(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{PODS_PATH}/web/proxy/moved", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, f"{PODS_PATH}/web/proxy/there?x=1")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/a", "/p/a"),
        ("/p/a", "/p/a"),
        ("/pa", "/p/pa"),
        ("a/b", "a/b"),
        ("http://other/a", "http://other/a"),
        ("http://me:1/a?q#f", "https://me:1/p/a?q#f"),
    ],
)
def test_relocated(location: str, expected: str) -> None:
    assert relocated(location, prefix="/p", host="me:1") == expected


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{PODS_PATH}/web/proxy/broken") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_websockets_are_passed_on(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    async with http.ws_connect(f"{PODS_PATH}/web/proxy/socket", protocols=("other", "chat")) as socket:
        assert socket.protocol == "chat"
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        await socket.send_bytes(BIG[:1_000_000])
        assert await socket.receive_bytes() == BIG[:1_000_000]
    await no_forward_left(streams)


async def test_a_websocket_that_the_pod_refuses(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(f"{PODS_PATH}/web/proxy/x")
    assert caught.value.status == 200


async def test_services_by_port_name_and_number(
    http: aiohttp.ClientSession, api: FakeApi, streams: FakeStreams
) -> None:
    await a_service(api, POD_ADDRESS, port_name="http")
    for name in ("front:http", "front:9", "http:front:http"):
        async with http.get(f"{SERVICES_PATH}/{name}/proxy/x") as response:
            assert (await response.json())["target"] == "/x"
    assert {(forward.pod, forward.port) for forward in streams.forwards} == {("web", 8080)}


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("services/front/proxy/", 503, 'no endpoints available for service "front"'),
        ("services/front:8/proxy/", 503, 'no service port 8 found for service "front"'),
        ("services/none/proxy/", 404, 'services "none" not found'),
        ("services/x:y:z:1/proxy/", 400, 'invalid service request "x:y:z:1"'),
        ("services/ftp:front:9/proxy/", 400, 'invalid service request "ftp:front:9"'),
        ("pods/none/proxy/", 404, 'pods "none" not found'),
        (
            "pods/web:99/proxy/",
            503,
            "error trying to reach service: dial tcp4 127.0.0.1:99: connect: connection refused",
        ),
        ("pods/web:http/proxy/", 400, '"http" is no port number'),
        ("pods/web:%C2%B2/proxy/", 400, '"²" is no port number'),
        (f"pods/web:{'1' * 4400}/proxy/", 400, "is no port number"),
        ("services/front:%C2%B2/proxy/", 503, 'no endpoints available for service "front"'),
        (f"services/front:{'1' * 4400}/proxy/", 503, 'no endpoints available for service "front"'),
    ],
)
async def test_what_cannot_be_reached(
    http: aiohttp.ClientSession, api: FakeApi, path: str, code: int, says: str
) -> None:
    await a_service(api)
    async with http.get(f"/api/v1/namespaces/default/{path}") as response:
        status = await response.json()
    assert (response.status, status["code"]) == (code, code)
    assert says in status["message"]


async def test_endpoints_that_are_no_pods_are_not_dialled(http: aiohttp.ClientSession, api: FakeApi) -> None:
    await a_service(api, EndpointAddress(ip="127.0.0.1"))
    async with http.get(f"{SERVICES_PATH}/front/proxy/") as response:
        assert (response.status, (await response.json())["reason"]) == (503, ServiceUnavailable.reason)


async def test_a_service_leads_to_no_pod_of_another_namespace(http: aiohttp.ClientSession, api: FakeApi) -> None:
    elsewhere = ObjectReference(kind="Pod", namespace="kube-system", name="web")
    await a_service(api, EndpointAddress(ip="10.0.0.1", target_ref=elsewhere))
    async with http.get(f"{SERVICES_PATH}/front:9/proxy/x") as response:
        assert response.status == 503


async def test_a_pod_that_speaks_no_http(http: aiohttp.ClientSession, running: RunningServer) -> None:
    async with http.get(f"{PODS_PATH}/http:web:443/proxy/") as response:
        assert response.status in (400, 503)


async def test_a_client_that_leaves_leaks_nothing(running: RunningServer, streams: FakeStreams) -> None:
    port = running.server.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls_context(running.access))
    head = f"POST {PODS_PATH}/web/proxy/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    writer.write(head.encode() + b"x" * 500_000)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
    assert streams.forwards_open == 1
    writer.transport.abort()
    await no_forward_left(streams)
