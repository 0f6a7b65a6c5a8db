"""A node's Node object: created when the node joins or opens its session, with a pod range that no other node has.

Only this process gives out pod ranges, one at a time, each after the cache holds the one before; so two nodes never
get the same. What a person changed on the Node (labels, taints, unschedulable) is never taken back.
"""

import asyncio

import structlog
from msgspec.structs import replace

from controlplane.nodeplane.node_set import revision_of
from controlplane.nodeplane.pod_cidr import free_pod_cidr
from controlplane.nodeplane.settings import NodePlaneSettings
from orch.api.kinds import NODES
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.client.client import Client
from orch.client.informer import Informer
from orch.errors import AlreadyExists, Conflict, NotFound

log = structlog.get_logger(__name__)

HOSTNAME_LABEL = "kubernetes.io/hostname"
ATTEMPTS_MAX = 5
"""Of a compare-and-swap on one Node object."""


class Registrar:
    def __init__(self, client: Client, nodes: Informer[Node], settings: NodePlaneSettings) -> None:
        self._client, self._nodes, self._settings = client, nodes, settings
        self._one_at_a_time = asyncio.Lock()

    async def register(self, name: str, reported: Node) -> Node:
        """The node's stored object, with podCIDR; the informer holds it. Raises ApiError, NoPodCidrLeft."""
        known = self._nodes.get("", name)
        if known is not None and known.spec.pod_cidr and _has_labels(known, reported.metadata.labels or {}):
            return known
        async with self._one_at_a_time:
            stored = await self._store(name, reported)
            await self._nodes.reached(revision_of(stored))
        log.info("node_registered", node=name, pod_cidr=stored.spec.pod_cidr)
        return stored

    async def _store(self, name: str, reported: Node) -> Node:
        for _ in range(ATTEMPTS_MAX):
            try:
                current = await self._client.get(NODES, name)
            except NotFound:
                current = None
            try:
                if current is None:
                    return await self._client.create(NODES, self._with_cidr(_new_node(name, reported)))
                wanted = self._with_cidr(_with_labels(current, reported))
                return current if wanted == current else await self._client.update(NODES, wanted)
            except (AlreadyExists, Conflict):
                continue
        raise Conflict(f"node {name!r} was changed by others {ATTEMPTS_MAX} times while it was being registered")

    def _with_cidr(self, node: Node) -> Node:
        if node.spec.pod_cidr:
            return node
        taken = {other.spec.pod_cidr for other in self._nodes.items() if other.spec.pod_cidr}
        cidr = free_pod_cidr(self._settings.cluster_cidr, self._settings.node_prefix_length, taken)
        return replace(node, spec=replace(node.spec, pod_cidr=cidr, pod_cidrs=(cidr,)))


def _new_node(name: str, reported: Node) -> Node:
    labels = {HOSTNAME_LABEL: name} | (reported.metadata.labels or {})
    return Node(metadata=ObjectMeta(name=name, labels=labels))


def _has_labels(node: Node, labels: dict[str, str]) -> bool:
    present = node.metadata.labels or {}
    return all(present.get(key) == value for key, value in labels.items())


def _with_labels(node: Node, reported: Node) -> Node:
    labels = (node.metadata.labels or {}) | (reported.metadata.labels or {})
    return replace(node, metadata=replace(node.metadata, labels=labels))
