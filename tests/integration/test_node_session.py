"""The node session from end to end: API, nodeplane, gRPC on loopback, agent, fake runtime."""

from pathlib import Path

from orch.api.kinds import NODES, PODS
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from tests.node_session import (
    FakeNode,
    control_plane,
    is_gone,
    node_ready_is,
    phase_is,
    pod_on,
    running,
    until,
)


def a_pod(name: str = "web", **spec: object) -> Pod:
    containers = (Container(name="app", image="web:1"),)
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PodSpec(**({"containers": containers, "termination_grace_period_seconds": 1} | spec)),
    )


async def test_a_node_joins_and_becomes_ready(tmp_path: Path) -> None:
    async with control_plane() as plane, running(FakeNode("node-1", tmp_path).agent_of(plane)):
        node = await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
    assert node.spec.pod_cidr == "10.244.0.0/24"
    assert node.metadata.labels["kubernetes.io/hostname"] == "node-1"
    assert node.status.capacity["cpu"] == "2"
    assert {c.type for c in node.status.conditions} == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}


async def test_a_pod_runs_and_its_deletion_is_confirmed(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane, running(node.agent_of(plane)):
        await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
        pod = await pod_on("node-1", plane.client, a_pod())
        ran = await until(plane.client, PODS, "web", "default", phase_is("Running"))
        assert ran.status.pod_ip == "10.244.0.1"
        assert ran.status.container_statuses[0].image == "docker.io/library/web:1"
        assert all(c.status == "True" for c in ran.status.conditions)
        await plane.client.delete(PODS, "web", "default")
        await until(plane.client, PODS, "web", "default", is_gone)
    assert not await node.runtime.list_pod_sandboxes()
    assert ("remove_pod_sandbox", pod.metadata.uid) in node.runtime.calls
