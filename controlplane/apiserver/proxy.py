"""The proxy subresources of pods and services: a request on to a port of a pod, its answer back, both as they stream.

Always through the session of the pod's node, since pods may have no route from here. Bodies are never held whole; a
websocket is passed on message by message. What the pod cannot be reached for is 503, as in Kubernetes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import WSMsgType, hdrs, web
from aiohttp.web import BaseRequest, StreamResponse
from multidict import CIMultiDict
from yarl import URL

from controlplane.apiserver.byte_wires import MESSAGE_MAX_BYTES, open_web_socket
from controlplane.apiserver.call import Call
from controlplane.apiserver.node_proxy import serve_node
from controlplane.apiserver.pods import PodLookup, authorize, inside, pod_target
from controlplane.apiserver.proxy_headers import request_headers, response_headers, wants_websocket
from controlplane.apiserver.proxy_target import (
    Endpoint,
    ProxyName,
    pod_port,
    service_endpoints,
    service_port_name,
    split_name,
)
from controlplane.apiserver.stream_connector import http_over
from controlplane.apiserver.streams import NodeStreams, PortForwardRequest
from controlplane.registry.interface import Api
from orch.api.kinds import ENDPOINTS, NODES, PODS, SERVICES
from orch.api.pod.spec import Pod
from orch.errors import ApiError, NotFound, ServiceUnavailable
from orch.kit.ids import Ids

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PREFIX_SEGMENTS = 7
"""Of /api/v1/namespaces/<namespace>/<plural>/<name>/proxy."""
CHUNK_BYTES = 64 * 1024
NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Place:
    """The request as the pod shall see it."""

    scheme: str
    prefix: str
    path: str
    """Beginning with "/"; "" when the client has named none, not even the root."""
    query: str


@dataclass(frozen=True, slots=True)
class Backend:
    node: str
    request: PortForwardRequest


class Proxies:
    def __init__(self, api: Api, lookup: PodLookup, streams: NodeStreams, ids: Ids) -> None:
        self._api = api
        self._lookup = lookup
        self._streams = streams
        self._ids = ids

    async def serve(self, call: Call) -> StreamResponse:
        await authorize(self._api, call)
        if call.kind is NODES:
            return await serve_node(call, self._api, self._streams)
        return await (self._pod(call) if call.kind is PODS else self._service(call))

    async def _pod(self, call: Call) -> StreamResponse:
        asked = split_name(call.path.name, "pod")
        pod = await self._lookup.read(call, asked.name)
        return await self._pass(call, asked, backend(pod, pod_port(pod, asked)))

    async def _service(self, call: Call) -> StreamResponse:
        asked = split_name(call.path.name, "service")
        endpoint = await self._endpoint(call, asked)
        pod = await self._lookup.read(call, endpoint.pod)
        return await self._pass(call, asked, backend(pod, endpoint.port))

    async def _endpoint(self, call: Call, asked: ProxyName) -> Endpoint:
        """One of the ready ones, by chance. Raises NotFound, ServiceUnavailable."""
        context, namespace = inside(call), call.path.namespace
        service = await self._api.get(context, SERVICES, namespace, asked.name, resource_version="0")
        port_name = service_port_name(service.obj, asked)
        try:
            stored = await self._api.get(context, ENDPOINTS, namespace, asked.name, resource_version="0")
        except NotFound:
            raise ServiceUnavailable(f'no endpoints available for service "{asked.name}"') from None
        found = service_endpoints(stored.obj, port_name)
        return found[int(self._ids.uniform(0, len(found))) % len(found)]

    async def _pass(self, call: Call, asked: ProxyName, to: Backend) -> StreamResponse:
        place = place_of(call.request.raw_path, asked.scheme)
        if not place.path and not wants_websocket(call.request.headers):
            location = f"{place.prefix}/" + (f"?{place.query}" if place.query else "")
            return web.Response(status=301, headers={"Location": location})
        async with self._connected(to) as session:
            if wants_websocket(call.request.headers):
                return await _websocket(call.request, session, place)
            return await _exchange(call.request, session, place)

    @asynccontextmanager
    async def _connected(self, to: Backend) -> AsyncIterator[aiohttp.ClientSession]:
        try:
            async with self._streams.port_forward(to.node, to.request) as stream, http_over(stream) as session:
                yield session
        except ApiError as error:
            raise unreachable(error.message) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(str(error) or "no answer in time") from error


def backend(pod: Pod, port: int) -> Backend:
    target = pod_target(pod)
    return Backend(target.node, PortForwardRequest(target.pod_uid, target.namespace, target.pod, port))


def place_of(raw_path: str, scheme: str) -> Place:
    path, _, query = raw_path.partition("?")
    parts = path.lstrip("/").split("/", PREFIX_SEGMENTS)
    prefix = "/" + "/".join(parts[:PREFIX_SEGMENTS])
    rest = f"/{parts[PREFIX_SEGMENTS]}" if len(parts) > PREFIX_SEGMENTS else ""
    return Place(scheme, prefix, rest, query)


def unreachable(why: str) -> ServiceUnavailable:
    return ServiceUnavailable(f"error trying to reach service: {why}")


async def _exchange(request: BaseRequest, session: aiohttp.ClientSession, place: Place) -> StreamResponse:
    body = request.content.iter_chunked(CHUNK_BYTES) if request.body_exists else None
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async with session.request(
        request.method, _url(place), headers=_headers(request, place), data=body, allow_redirects=False
    ) as answer:
        headers = response_headers(answer.headers, prefix=place.prefix, host=request.headers.get(hdrs.HOST, ""))
        response = StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await response.prepare(request)
        try:
            if request.method != hdrs.METH_HEAD and answer.status not in NO_BODY:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
        except aiohttp.ClientError as error:
            raise ConnectionResetError("the pod broke its answer off") from error
        await response.write_eof()
        return response


async def _websocket(request: BaseRequest, session: aiohttp.ClientSession, place: Place) -> StreamResponse:
    offered = [name.strip() for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
    try:
        connecting = session.ws_connect(
            _url(place),
            protocols=[name for name in offered if name],
            headers=_headers(request, place),
            max_msg_size=MESSAGE_MAX_BYTES,
        )
        async with connecting as pod:
            async with open_web_socket(request, (pod.protocol,) if pod.protocol else ()) as client:
                await _relay(client, pod)
            return client
    except aiohttp.WSServerHandshakeError as error:
        return web.Response(status=error.status, text=error.message)


WebSocket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse[bool]


async def _relay(client: WebSocket, pod: WebSocket) -> None:
    """Until one side closes; the other is then closed with the same code."""
    async with asyncio.TaskGroup() as group:
        directions = [group.create_task(_copy(client, pod)), group.create_task(_copy(pod, client))]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()


async def _copy(source: WebSocket, sink: WebSocket) -> None:
    try:
        async for message in source:
            if message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)
        await sink.close(code=source.close_code or aiohttp.WSCloseCode.GOING_AWAY)
    except ConnectionError:
        return


def _url(place: Place) -> URL:
    """Who is asked stands in the Host header, as the client wrote it; the connection leads to one pod only."""
    query = f"?{place.query}" if place.query else ""
    return URL(f"{place.scheme}://pod{place.path or '/'}{query}", encoded=True)


def _headers(request: BaseRequest, place: Place) -> CIMultiDict[str]:
    return request_headers(request.headers, client=request.remote or "", prefix=place.prefix, path=place.path)
