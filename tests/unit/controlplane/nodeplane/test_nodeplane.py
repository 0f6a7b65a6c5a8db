"""The nodeplane between the API and links in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controlplane.nodeplane.nodeplane import NodePlane
from controlplane.nodeplane.settings import NodePlaneSettings
from orch.api.kinds import NODES, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.client.client import Client
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from protos import node_pb2
from tests.unit.controlplane.nodeplane.world import MemoryLink, api, eventually


@asynccontextmanager
async def session_of(client: Client, name: str = "n1") -> AsyncIterator[MemoryLink]:
    """A server's nodeplane, and one agent's link to it after the snapshot."""
    plane = NodePlane(client, SystemClock(), SystemIds(), NodePlaneSettings("c"))
    link = MemoryLink()
    link.inbox.put_nowait(node_pb2.AgentMessage(hello=node_pb2.Hello(node=NODES.codec.encode(Node()))))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(plane.run())
        session = group.create_task(plane.serve(name, link))

        async def has_snapshot() -> bool:
            return "snapshot_end" in link.kinds()

        await eventually(has_snapshot)
        yield link
        link.inbox.put_nowait(None)
        await session
        running.cancel()


def snapshot_revision(link: MemoryLink) -> int:
    return link.sent[1].snapshot_begin.revision


async def test_a_restarted_server_sends_no_lower_revision_after_the_newest_object_went() -> None:
    async with api() as (admin, client, _):
        async with session_of(client):
            pass  # the Node object and its status are older than what follows
        spec = ServiceSpec(ports=(ServicePort(port=80),))
        await admin.create(SERVICES, Service(metadata=ObjectMeta(name="web", namespace="default"), spec=spec))
        async with session_of(client) as before:
            pass
        await admin.delete(SERVICES, "web", "default")
        async with session_of(client) as after:
            pass
    assert snapshot_revision(after) >= snapshot_revision(before)
