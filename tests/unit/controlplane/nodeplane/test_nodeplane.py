"""The nodeplane between the API and links in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controlplane.nodeplane.nodeplane import NodePlane
from controlplane.nodeplane.settings import NodePlaneSettings
from controlplane.usage import UsageBoard
from orch.api.kinds import NODES, PODS, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.node import Node, NodeCondition, NodeStatus
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.client.client import Client
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from protos import node_pb2
from tests.unit.controlplane.nodeplane.world import MemoryLink, a_bound_pod, api, eventually


@asynccontextmanager
async def session_of(client: Client, name: str = "n1") -> AsyncIterator[MemoryLink]:
    """A server's nodeplane, and one agent's link to it after the snapshot."""
    plane = NodePlane(client, SystemClock(), SystemIds(), NodePlaneSettings("c"), UsageBoard())
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


UNREADABLE = (
    b"",
    b"[]",
    b'"',
    b'{"phase":"\xff"}',
    b'{"conditions":{}}',
    b'{"conditions":[{"type":[]}]}',
    b"[" * 100_000,
)


async def test_what_cannot_be_read_of_a_node_is_dropped_and_its_session_goes_on() -> None:
    async with api() as (admin, client, _), session_of(client) as link:
        for said in UNREADABLE:
            link.inbox.put_nowait(node_pb2.AgentMessage(events=node_pb2.Events(events=[said])))
            link.inbox.put_nowait(node_pb2.AgentMessage(node_status=node_pb2.NodeStatus(node=said)))
        pod = await a_bound_pod(admin)
        for said in (*UNREADABLE, b'{"conditions":[{}]}', b'{"phase":"Running","newer":1}'):
            report = node_pb2.PodStatus(uid=pod.metadata.uid, namespace="default", name="web", status=said)
            link.inbox.put_nowait(node_pb2.AgentMessage(pod_statuses=node_pb2.PodStatuses(reports=[report])))
        ready = Node(status=NodeStatus(conditions=(NodeCondition(type="Ready", status="True"),)))
        link.inbox.put_nowait(node_pb2.AgentMessage(node_status=node_pb2.NodeStatus(node=NODES.codec.encode(ready))))

        async def is_told() -> bool:
            if (await admin.get(PODS, "web", "default")).status.phase != "Running":
                return False
            return any(c.status == "True" for c in (await admin.get(NODES, "n1")).status.conditions or ())

        await eventually(is_told)
