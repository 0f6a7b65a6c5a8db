"""What each node must hold: its pods and what they name, its volumes, all Services, EndpointSlices, Nodes,
RuntimeClasses.

Pure and incremental: one informer event costs what it changes, never a walk over all objects. No clock, no I/O.
Invariant: for every node, `snapshot(node)` is what a node holds that applied an earlier snapshot and every delivery
since then.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from orch.api.kind import Kind
from orch.api.kinds import (
    CONFIGMAPS,
    ENDPOINTSLICES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RUNTIMECLASSES,
    SECRETS,
    SERVICES,
)
from orch.api.meta import Object, ObjectMeta
from orch.api.node import Node, NodeSpec, NodeStatus
from orch.api.persistentvolume import PersistentVolume
from orch.api.pod.allocation import RESIZE_IN_PROGRESS, RESIZE_PENDING
from orch.api.pod.references import Reference, references
from orch.api.pod.spec import Pod
from orch.api.pod.static import is_mirror
from orch.api.pod.status import PodCondition
from orch.api.volume_binding import node_of

EVERY_NODE = ""
"""A delivery's node when all nodes get it."""

NAMED_KINDS: dict[str, Kind[Any]] = {kind.kind: kind for kind in (CONFIGMAPS, SECRETS, PERSISTENTVOLUMECLAIMS)}
DELIVERED_KINDS: tuple[Kind[Any], ...] = (
    *NAMED_KINDS.values(), PERSISTENTVOLUMES, RUNTIMECLASSES, SERVICES, ENDPOINTSLICES, NODES, PODS
)  # fmt: skip

AGENT_CONDITIONS = frozenset(
    (
        "PodReadyToStartContainers",
        "Initialized",
        "ContainersReady",
        "Ready",
        "PodScheduled",
        "DisruptionTarget",
        RESIZE_PENDING,
        RESIZE_IN_PROGRESS,
    )
)
"""Conditions that the agent writes itself or does not act on."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object at a revision, as its JSON; no JSON: the node needs it no longer."""

    kind: str
    uid: str
    revision: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    node: str
    item: Item


def revision_of(obj: Object) -> int:
    return int(obj.metadata.resource_version or 0)


def item_of(kind: Kind[Any], obj: Object) -> Item:
    return Item(kind.kind, obj.metadata.uid, revision_of(obj), kind.codec.encode(obj))


def routing_part(node: Node) -> Node:
    """What other nodes need of a node: its pod range and addresses; so that a heartbeat's write is no news to all."""
    meta = node.metadata
    return Node(
        metadata=ObjectMeta(name=meta.name, uid=meta.uid, labels=meta.labels, resource_version=meta.resource_version),
        spec=NodeSpec(pod_cidr=node.spec.pod_cidr, pod_cidrs=node.spec.pod_cidrs),
        status=NodeStatus(addresses=node.status.addresses),
    )


def acted_on(pod: Pod) -> tuple[Any, ...]:
    """The part of a pod whose change is news to its agent; the rest is the agent's own status coming back."""
    meta = replace(pod.metadata, resource_version="", managed_fields=None)
    others = [c for c in pod.status.conditions or () if c.type not in AGENT_CONDITIONS]
    return meta, pod.spec, [_without_probe_time(condition) for condition in others]


def _without_probe_time(condition: PodCondition) -> PodCondition:
    return replace(condition, last_probe_time=None)


class NodeSets:
    def __init__(self) -> None:
        self._pods: defaultdict[str, dict[str, Pod]] = defaultdict(dict)
        self._users: defaultdict[Reference, dict[str, int]] = defaultdict(dict)
        """How many pods of each node name an object."""
        self._named: dict[Reference, Object] = {}
        self._shared: dict[tuple[str, str], Item] = {}
        self._volumes: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        """Volumes that can be used on one node only, by that node's name."""
        self._appliers: dict[str, Callable[[Kind[Any], Any, Any], Iterator[Delivery]]] = {
            PODS.kind: self._pod,
            SECRETS.kind: self._named_object,
            CONFIGMAPS.kind: self._named_object,
            PERSISTENTVOLUMECLAIMS.kind: self._named_object,
            PERSISTENTVOLUMES.kind: self._volume,
            NODES.kind: self._node,
            RUNTIMECLASSES.kind: self._shared_object,
            SERVICES.kind: self._shared_object,
            ENDPOINTSLICES.kind: self._shared_object,
        }
        self.revision = 0
        """The highest revision that went in."""

    def change(self, kind: Kind[Any], old: Any, new: Any) -> list[Delivery]:
        """The deliveries that one event causes (`old` None: created, `new` None: deleted)."""
        self.revision = max(self.revision, revision_of(new if new is not None else old))
        return list(self._appliers[kind.kind](kind, old, new))

    def snapshot(self, node: str) -> list[Item]:
        """All that `node` must hold, what pods need before the pods."""
        pods = self._pods.get(node, {}).values()
        named = dict.fromkeys(reference for pod in pods for reference in references(pod))
        items = [self._item_of_named(reference) for reference in named if reference in self._named]
        volumes = self._volumes.get(node, {}).values()
        return [*self._shared.values(), *volumes, *items, *(item_of(PODS, pod) for pod in pods)]

    def _item_of_named(self, reference: Reference) -> Item:
        return item_of(NAMED_KINDS[reference.kind], self._named[reference])

    def _gone(self, kind: Kind[Any], obj: Object) -> Item:
        return Item(kind.kind, obj.metadata.uid, self.revision, b"")

    def _shared_object(self, kind: Kind[Any], old: Object | None, new: Object | None) -> Iterator[Delivery]:
        if new is not None:
            item = self._shared[kind.kind, new.metadata.uid] = item_of(kind, new)
            yield Delivery(EVERY_NODE, item)
        elif old is not None:
            self._shared.pop((kind.kind, old.metadata.uid), None)
            yield Delivery(EVERY_NODE, self._gone(kind, old))

    def _node(self, kind: Kind[Any], old: Node | None, new: Node | None) -> Iterator[Delivery]:
        before, after = (routing_part(node) if node is not None else None for node in (old, new))
        if before is None or after is None or _content(before) != _content(after):
            yield from self._shared_object(kind, before, after)

    def _volume(
        self, kind: Kind[Any], old: PersistentVolume | None, new: PersistentVolume | None
    ) -> Iterator[Delivery]:
        """A volume of one node goes to that node, whether or not a pod uses it there: it may be to be removed."""
        before, after = (node_of(volume) if volume is not None else "" for volume in (old, new))
        if old is not None and before and (new is None or before != after):
            self._volumes[before].pop(old.metadata.uid, None)
            yield Delivery(before, self._gone(kind, old))
        if new is not None and after:
            if old is not None and not before:
                yield from self._shared_object(kind, old, None)
            item = self._volumes[after][new.metadata.uid] = item_of(kind, new)
            yield Delivery(after, item)
        elif not (old is not None and before and new is None):
            yield from self._shared_object(kind, old, new)

    def _named_object(self, kind: Kind[Any], old: Object | None, new: Object | None) -> Iterator[Delivery]:
        obj = new if new is not None else old
        assert obj is not None
        reference = Reference(kind.kind, obj.metadata.namespace, obj.metadata.name)
        if new is not None:
            self._named[reference] = new
        else:
            self._named.pop(reference, None)
        users = self._users.get(reference)
        if users:
            item = item_of(kind, new) if new is not None else self._gone(kind, obj)
            yield from (Delivery(node, item) for node in users)

    def _pod(self, kind: Kind[Any], old: Pod | None, new: Pod | None) -> Iterator[Delivery]:
        if new is not None and new.spec.node_name and not is_mirror(new):
            yield from self._pod_on_node(new.spec.node_name, kind, new)
        elif old is not None and old.spec.node_name:
            yield from self._pod_left(old.spec.node_name, kind, old)

    def _pod_on_node(self, node: str, kind: Kind[Any], pod: Pod) -> Iterator[Delivery]:
        known = self._pods[node].get(pod.metadata.uid)
        self._pods[node][pod.metadata.uid] = pod
        if known is not None and acted_on(known) == acted_on(pod):
            return
        before = references(known) if known is not None else ()
        now = references(pod)
        yield from self._use(node, [reference for reference in now if reference not in before])
        yield Delivery(node, item_of(kind, pod))
        yield from self._release(node, [reference for reference in before if reference not in now])

    def _pod_left(self, node: str, kind: Kind[Any], pod: Pod) -> Iterator[Delivery]:
        known = self._pods[node].pop(pod.metadata.uid, None)
        if not self._pods[node]:
            del self._pods[node]
        if known is None:
            return
        yield Delivery(node, self._gone(kind, pod))
        yield from self._release(node, references(known))

    def _use(self, node: str, named: list[Reference]) -> Iterator[Delivery]:
        for reference in named:
            users = self._users[reference]
            users[node] = users.get(node, 0) + 1
            if users[node] == 1 and reference in self._named:
                yield Delivery(node, self._item_of_named(reference))

    def _release(self, node: str, named: list[Reference] | tuple[Reference, ...]) -> Iterator[Delivery]:
        for reference in named:
            users = self._users[reference]
            users[node] -= 1
            if users[node]:
                continue
            del users[node]
            if not users:
                del self._users[reference]
            if reference in self._named:
                yield Delivery(node, self._gone(NAMED_KINDS[reference.kind], self._named[reference]))


def _content(node: Node) -> Node:
    return replace(node, metadata=replace(node.metadata, resource_version=""))
