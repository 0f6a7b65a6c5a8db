"""The portforward subresource: which of its protocols a client speaks, and the session in it.

Upgrade: SPDY/3.1    X-Stream-Protocol-Version: portforward.k8s.io         kubectl before 1.31, Go clients
Upgrade: websocket   subprotocol SPDY/3.1+portforward.k8s.io               the same in messages: kubectl since 1.31
Upgrade: websocket   subprotocol v4.channel.k8s.io, ports in the query     the Python client
"""

from aiohttp.web import StreamResponse

from controlplane.apiserver import portforward_channels, spdy_wire
from controlplane.apiserver.byte_wires import MessageWire, open_web_socket, take_over
from controlplane.apiserver.call import Call
from controlplane.apiserver.forwarding import Forwarder
from controlplane.apiserver.pods import PodLookup
from controlplane.apiserver.portforward_channels import ChannelForwards
from controlplane.apiserver.portforward_spdy import PROTOCOL, SpdyForwards
from controlplane.apiserver.streams import NodeStreams
from orch.errors import BadRequest

TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"


class PortForwards:
    def __init__(self, lookup: PodLookup, streams: NodeStreams) -> None:
        self._lookup = lookup
        self._streams = streams

    async def serve(self, call: Call) -> StreamResponse:
        forwarder = Forwarder(self._streams, await self._lookup.find_pod(call))
        upgrade = call.request.headers.get("Upgrade", "").lower()
        if upgrade == "spdy/3.1":
            return await _spdy(call, forwarder)
        if upgrade != "websocket":
            raise BadRequest("Upgrade request required")
        offered = call.request.headers.get("Sec-WebSocket-Protocol", "")
        if TUNNEL_PROTOCOL in [name.strip() for name in offered.split(",")]:
            return await _tunnel(call, forwarder)
        return await _channels(call, forwarder, portforward_channels.choose(offered))


async def _spdy(call: Call, forwarder: Forwarder) -> StreamResponse:
    offered = call.request.headers.getall("X-Stream-Protocol-Version", [])
    protocol = spdy_wire.choose(offered, (PROTOCOL,))
    async with take_over(call.request, protocol) as wire:
        await SpdyForwards(wire, forwarder).run()
    return StreamResponse()


async def _tunnel(call: Call, forwarder: Forwarder) -> StreamResponse:
    async with open_web_socket(call.request, (TUNNEL_PROTOCOL,)) as web_socket:
        await SpdyForwards(MessageWire(web_socket), forwarder).run()
    return web_socket


async def _channels(call: Call, forwarder: Forwarder, protocol: str) -> StreamResponse:
    ports = portforward_channels.ports_of(call.query)
    async with open_web_socket(call.request, (protocol,) if protocol else ()) as web_socket:
        await ChannelForwards(web_socket, forwarder, ports).run()
    return web_socket
