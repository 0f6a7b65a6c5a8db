"""Lease objects in kube-node-lease: a projection of the heartbeats for those who look there, as Kubernetes has it."""

import asyncio

import structlog

from controlplane.nodeplane.newest import NewestWriter
from controlplane.nodeplane.settings import NodePlaneSettings
from orch.api.kinds import LEASES
from orch.api.lease import Lease, LeaseSpec
from orch.api.meta import ObjectMeta, OwnerReference
from orch.api.node import Node
from orch.client.client import Client
from orch.errors import NotFound
from orch.kit.clock import Clock, micro_time

log = structlog.get_logger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_DURATION_S = 40
"""What kubelet writes; readers take a lease not renewed for so long as expired."""


class NodeLeases:
    def __init__(self, client: Client, clock: Clock, settings: NodePlaneSettings) -> None:
        self._client, self._clock = client, clock
        self._interval_s = settings.lease_renew_interval_s
        self._alive: dict[str, Node] = {}
        self._writer = NewestWriter[str, Node]("node-lease", self._write)

    def alive(self, node: Node) -> None:
        """Renewed now and every interval from now on."""
        self._alive[node.metadata.name] = node
        self._writer.submit(node.metadata.name, node)

    def lost(self, name: str) -> None:
        self._alive.pop(name, None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._writer.run())
            group.create_task(self._renew())

    async def _renew(self) -> None:
        """Spread over the interval, so that thousands of nodes make no bursts."""
        while True:
            names = tuple(self._alive)
            pause_s = self._interval_s / max(len(names), 1)
            for name in names:
                if name in self._alive:
                    self._writer.submit(name, self._alive[name])
                await asyncio.sleep(pause_s)
            if not names:
                await asyncio.sleep(self._interval_s)

    async def _write(self, name: str, node: Node) -> None:
        renewed = micro_time(self._clock.now())
        try:
            await self._client.patch(LEASES, name, LEASE_NAMESPACE, {"spec": {"renewTime": renewed}})
        except NotFound:
            await self._client.create(LEASES, _new_lease(node, renewed))


def _new_lease(node: Node, renewed: str) -> Lease:
    owner = OwnerReference(api_version="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid)
    return Lease(
        metadata=ObjectMeta(name=node.metadata.name, namespace=LEASE_NAMESPACE, owner_references=(owner,)),
        spec=LeaseSpec(holder_identity=node.metadata.name, lease_duration_seconds=LEASE_DURATION_S, renew_time=renewed),
    )
