"""The proxy subresource of nodes: what monitoring asks of a kubelet, /metrics/resource and /metrics/cadvisor.

Answered through the node's session, so that a scraper needs the API server only and a node no open port.
"""

from aiohttp.web import StreamResponse

from controlplane.apiserver.call import Call
from controlplane.apiserver.pods import inside
from controlplane.apiserver.streams import NodeStreams
from controlplane.registry.interface import Api
from orch.api.kinds import NODES
from orch.errors import MethodNotAllowed, NotFound

EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""
PREFIX_SEGMENTS = 5
"""Of /api/v1/nodes/<node>/proxy."""


async def serve_node(call: Call, api: Api, streams: NodeStreams) -> StreamResponse:
    """For a caller that is authorized. Raises NotFound, MethodNotAllowed, ServiceUnavailable."""
    if call.request.method != "GET":
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    rest = call.request.raw_path.partition("?")[0].strip("/").split("/")[PREFIX_SEGMENTS:]
    if len(rest) != 2 or rest[0] != "metrics":
        raise NotFound("a node serves metrics/resource and metrics/cadvisor")
    await api.get(inside(call), NODES, "", call.path.name, resource_version="0")
    async with streams.metrics(call.path.name, rest[1]) as chunks:
        response = StreamResponse(headers={"Content-Type": EXPOSITION_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        async for chunk in chunks:
            await response.write(chunk)
    await response.write_eof()
    return response
