"""The status of Node objects: what the agent reports while the node is alive, Unknown once it is lost.

Level-triggered: what is written follows from the newest report and from liveness, whatever was written before. Times
in conditions are the server's, since nodes' clocks differ. Heartbeats are not written; the Lease stands for them.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from controlplane.nodeplane.newest import NewestWriter
from controlplane.nodeplane.node_set import revision_of
from orch.api.kinds import NODES
from orch.api.node import Node, NodeCondition, NodeStatus
from orch.client.client import Client, PatchType
from orch.client.informer import Informer
from orch.kit.clock import Clock, whole_seconds

LOST_REASON = "NodeStatusUnknown"
LOST_MESSAGE = "Kubelet stopped posting node status."
"""The words that Kubernetes' node lifecycle controller uses, which tools look for."""


def conditions_of(
    wanted: tuple[NodeCondition, ...], current: tuple[NodeCondition, ...], now: datetime
) -> tuple[NodeCondition, ...]:
    """`wanted` with transition times: kept where the status is the one that is stored, else `now`."""
    stored = {condition.type: condition for condition in current}
    result = []
    for condition in wanted:
        before = stored.get(condition.type)
        same = before is not None and before.status == condition.status
        since = before.last_transition_time if before is not None and same else now
        heartbeat = before.last_heartbeat_time if before is not None and _equal_words(before, condition) else now
        result.append(replace(condition, last_transition_time=since, last_heartbeat_time=heartbeat))
    return tuple(result)


def lost_conditions(current: tuple[NodeCondition, ...]) -> tuple[NodeCondition, ...]:
    """What is known of a node that does not answer: nothing (as Kubernetes' node lifecycle controller writes it)."""
    types = dict.fromkeys((*(condition.type for condition in current), "Ready"))
    return tuple(
        NodeCondition(type=type_, status="Unknown", reason=LOST_REASON, message=LOST_MESSAGE)
        for type_ in types
        if type_ != "NetworkUnavailable"
    )


def _equal_words(one: NodeCondition, other: NodeCondition) -> bool:
    return (one.status, one.reason, one.message) == (other.status, other.reason, other.message)


class NodeStatusWriter:
    def __init__(self, client: Client, nodes: Informer[Node], clock: Clock) -> None:
        self._client, self._nodes, self._clock = client, nodes, clock
        self._reported: dict[str, Node] = {}
        self._writer = NewestWriter[str, NodeStatus | None]("node-status", self._write)

    def report(self, name: str, node: Node) -> None:
        """What the agent of a living node says."""
        self._reported[name] = node
        self._writer.submit(name, node.status)

    def recovered(self, name: str) -> None:
        """The node is heard again; its last report holds."""
        if name in self._reported:
            self._writer.submit(name, self._reported[name].status)

    def lost(self, name: str) -> None:
        self._writer.submit(name, None)

    def forget(self, name: str) -> None:
        self._reported.pop(name, None)

    async def run(self) -> None:
        await self._writer.run()

    async def _write(self, name: str, status: NodeStatus | None) -> None:
        node = self._nodes.get("", name)
        if node is None:
            return
        now = whole_seconds(self._clock.now())
        current = node.status.conditions or ()
        wanted = status if status is not None else NodeStatus(conditions=lost_conditions(current))
        wanted = replace(wanted, conditions=conditions_of(wanted.conditions or (), current, now))
        patch = _patch(node, wanted)
        if patch:
            stored = await self._client.patch(
                NODES, name, "", {"status": patch}, patch_type=PatchType.STRATEGIC, subresource="status"
            )
            await self._nodes.reached(revision_of(stored))  # the next report is compared with what this one made


def _patch(node: Node, wanted: NodeStatus) -> dict[str, Any]:
    """The fields of `wanted` that the stored status does not hold; conditions and addresses merge by their keys."""
    current = NODES.codec.to_plain(node).get("status", {})
    plain = NODES.codec.to_plain(Node(status=wanted))["status"]
    absent = NODES.codec.to_plain(Node())["status"]
    stored = {condition["type"]: condition for condition in current.get("conditions", ())}
    changed = [condition for condition in plain.get("conditions", ()) if stored.get(condition["type"]) != condition]
    patch = {
        name: value
        for name, value in plain.items()
        if name != "conditions" and value != absent.get(name) and current.get(name) != value
    }
    return patch | ({"conditions": changed} if changed else {})
