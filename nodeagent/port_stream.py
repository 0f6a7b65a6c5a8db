"""The two directions of a forwarded port, between the server's stream and the connection to the pod.

Each direction ends by itself with an empty frame (TCP's half-close); the stream is over when both have. Nothing is
buffered: what one side does not take, the other is not asked for. A stream that ends without the empty frame was reset.
"""

import asyncio

import structlog

from nodeagent.link import LinkLost, StreamCall
from nodeagent.runtime.interface import PortConnection, RuntimeFault
from protos import node_pb2

log = structlog.get_logger(__name__)

FROM_POD = 1
"""Channel of what comes from the pod; 0 goes to it."""


async def pump_port(call: StreamCall, connection: PortConnection) -> None:
    """Returns when both directions are over or the pod reset the connection. Raises LinkLost when the user has gone."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_to_pod(call, connection))
            while data := await connection.read():
                await _send(call, data)
            await _send(call, b"")
    except* RuntimeFault as faults:
        log.debug("port_forward_reset", error=str(faults.exceptions[0]))


async def _to_pod(call: StreamCall, connection: PortConnection) -> None:
    while (frame := await call.read()) is not None:
        if not frame.data.data:
            return await connection.close_write()
        await connection.write(frame.data.data)
    raise LinkLost("the user of the port has gone")


async def _send(call: StreamCall, data: bytes) -> None:
    await call.write(node_pb2.StreamFrame(data=node_pb2.Data(channel=FROM_POD, data=data)))
