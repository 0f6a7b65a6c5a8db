"""The status of Node objects: reports, silence, return."""

from datetime import UTC, datetime, timedelta

from controlplane.nodeplane.node_status_writer import NodeStatusWriter, conditions_of, lost_conditions
from orch.api.kinds import NODES
from orch.api.meta import ObjectMeta
from orch.api.node import Node, NodeAddress, NodeCondition, NodeStatus
from orch.kit.clock import SystemClock
from tests.unit.controlplane.nodeplane.world import api, eventually, informer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY = NodeCondition(type="Ready", status="True", reason="KubeletReady", message="fine")
REPORT = Node(
    status=NodeStatus(
        conditions=(READY, NodeCondition(type="DiskPressure", status="False")),
        capacity={"cpu": "2"},
        addresses=(NodeAddress(type="InternalIP", address="10.0.0.1"),),
    )
)


def test_transition_times_move_with_the_status_only() -> None:
    stored = conditions_of((READY,), (), NOW)
    later = NOW + timedelta(minutes=1)
    assert conditions_of((READY,), stored, later) == stored
    (changed,) = conditions_of((NodeCondition(type="Ready", status="False"),), stored, later)
    assert changed.last_transition_time == later


def test_of_a_lost_node_nothing_is_known() -> None:
    conditions = lost_conditions((READY, NodeCondition(type="DiskPressure", status="False")))
    assert {c.type: (c.status, c.reason) for c in conditions} == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "DiskPressure": ("Unknown", "NodeStatusUnknown"),
    }
    assert [c.type for c in lost_conditions(())] == ["Ready"]


async def test_a_node_reports_falls_silent_and_returns() -> None:
    async with api() as (admin, client, background):
        await admin.create(NODES, Node(metadata=ObjectMeta(name="n1")))
        writer = NodeStatusWriter(client, await informer(client, NODES, background), SystemClock())
        background.create_task(writer.run())

        async def becomes(status: str) -> Node:
            async def holds() -> bool:
                node = await admin.get(NODES, "n1")
                return {c.status for c in node.status.conditions or () if c.type == "Ready"} == {status}

            await eventually(holds)
            return await admin.get(NODES, "n1")

        writer.report("n1", REPORT)
        reported = await becomes("True")
        writer.lost("n1")
        lost = await becomes("Unknown")
        writer.recovered("n1")
        returned = await becomes("True")
        writer.report("n1", REPORT)
        writer.recovered("n1")
    assert reported.status.addresses == REPORT.status.addresses
    assert lost.status.capacity == {"cpu": "2"}
    assert {c.type: c.reason for c in returned.status.conditions}["Ready"] == "KubeletReady"


async def test_the_same_report_is_written_once() -> None:
    async with api() as (admin, client, background):
        await admin.create(NODES, Node(metadata=ObjectMeta(name="n1")))
        nodes = await informer(client, NODES, background)
        writer = NodeStatusWriter(client, nodes, SystemClock())
        background.create_task(writer.run())
        changes: list[Node | None] = []
        nodes.add_handler(lambda old, new: changes.append(new))
        writer.report("n1", REPORT)

        async def is_ready() -> bool:
            return bool((await admin.get(NODES, "n1")).status.conditions)

        await eventually(is_ready)
        before = len(changes)
        writer.report("n1", REPORT)
        await admin.patch(NODES, "n1", "", {"metadata": {"labels": {"marker": "1"}}})

        async def is_marked() -> bool:
            node = nodes.get("", "n1")
            return node is not None and bool(node.metadata.labels)

        await eventually(is_marked)
    assert len(changes) == before + 1
