"""The node session from end to end: API, nodeplane, gRPC on loopback, agent, fake runtime."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.grpc_link import GrpcDialer, JoinRefused, NodeCertificate
from nodeagent.runtime.fake import Program
from nodeagent.runtime.interface import SandboxConfig
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, EVENTS, LEASES, NODES, PODS
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.pod.container import ConfigMapEnvSource, Container, EnvFromSource
from orch.api.pod.spec import Pod, PodSpec
from orch.pki import issue
from protos import node_pb2
from tests.node_session import (
    FakeNode,
    control_plane,
    eventually,
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


def restarts_are(count: int) -> Callable[[Pod | None], bool]:
    def holds(pod: Pod | None) -> bool:
        statuses = pod.status.container_statuses if pod is not None else None
        return bool(statuses) and statuses[0].restart_count == count

    return holds


def waits_because(reason: str) -> Callable[[Pod | None], bool]:
    def holds(pod: Pod | None) -> bool:
        waiting = pod.status.container_statuses[0].state.waiting if pod and pod.status.container_statuses else None
        return waiting is not None and waiting.reason == reason

    return holds


async def say_hello(dialer: GrpcDialer) -> None:
    async with dialer() as link:
        await link.send(node_pb2.AgentMessage(hello=node_pb2.Hello()))
        async for _ in link:
            return


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


async def test_an_agent_that_returns_adopts_its_pods_without_a_restart(tmp_path: Path) -> None:
    """1. a pod runs 2. the agent is killed 3. its container runs on 4. a new agent adopts it."""
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane:
        async with running(node.agent_of(plane)):
            await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
            await pod_on("node-1", plane.client, a_pod())
            before = await until(plane.client, PODS, "web", "default", phase_is("Running"))
        calls = len(node.runtime.calls)
        async with running(node.agent_of(plane)):
            await plane.client.create(PODS, a_pod("second", node_name="node-1"))
            await until(plane.client, PODS, "second", "default", phase_is("Running"))
            after = await plane.client.get(PODS, "web", "default")
    assert node.runtime.running(before.metadata.uid) == ["app"]
    assert after.status == before.status
    assert not [call for call in node.runtime.calls[calls:] if before.metadata.uid in call[1]]


async def test_a_container_that_ended_while_no_agent_ran_is_restarted_by_its_return(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane:
        async with running(node.agent_of(plane)):
            await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
            pod = await pod_on("node-1", plane.client, a_pod())
            await until(plane.client, PODS, "web", "default", phase_is("Running"))
        node.runtime.end(f"{pod.metadata.uid}-app-0", exit_code=7)
        async with running(node.agent_of(plane)):
            restarted = await until(plane.client, PODS, "web", "default", restarts_are(1))
    status = restarted.status.container_statuses[0]
    assert status.last_state.terminated.exit_code == 7
    assert status.state.running is not None


async def test_with_the_control_plane_gone_a_crashing_container_is_restarted(tmp_path: Path) -> None:
    """The agent starts, adopts and restarts from what lies on the node's disk, and tells it once it can."""
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane, running(node.agent_of(plane)):
        await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
        pod = await pod_on("node-1", plane.client, a_pod())
        await until(plane.client, PODS, "web", "default", phase_is("Running"))
    agent = node.agent_of(plane)
    uid = pod.metadata.uid
    async with running(agent):
        await asyncio.sleep(0.2)  # the agent adopts, and finds no server
        node.runtime.end(f"{uid}-app-0", exit_code=1)
        await eventually(lambda: any(c.attempt == 1 for c in node.runtime.configs(uid)))
        await eventually(lambda: node.runtime.running(uid) == ["app"])
        port = plane.server.session_ports[0]
        async with control_plane(plane.backend, plane.ca, session_port=port) as again:
            told = await until(again.client, PODS, "web", "default", restarts_are(1))
    assert told.status.container_statuses[0].last_state.terminated.exit_code == 1


async def test_a_pod_deleted_while_its_agent_was_away_is_removed_on_return(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane:
        async with running(node.agent_of(plane)):
            await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
            pod = await pod_on("node-1", plane.client, a_pod())
            await until(plane.client, PODS, "web", "default", phase_is("Running"))
        await plane.client.delete(PODS, "web", "default")
        assert (await plane.client.get(PODS, "web", "default")).metadata.deletion_timestamp is not None
        async with running(node.agent_of(plane)):
            await until(plane.client, PODS, "web", "default", is_gone)
    assert not node.runtime.configs(pod.metadata.uid)


async def test_what_nobody_wants_is_removed_after_a_snapshot(tmp_path: Path) -> None:
    """A pod whose object went, and the node's disk too, while the agent was away."""
    node = FakeNode("node-1", tmp_path)
    orphan = SandboxConfig("orphan-uid", "default", "old", "old", "kubepods/podorphan-uid", str(tmp_path / "logs"))
    await node.runtime.run_pod_sandbox(orphan)
    async with control_plane() as plane, running(node.agent_of(plane)):
        await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
        await eventually(lambda: ("remove_pod_sandbox", "orphan-uid") in node.runtime.calls)


async def test_a_silent_node_becomes_unknown_and_ready_again_when_it_returns(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    async with control_plane(node_lost_after_s=0.4, heartbeat_interval_s=0.1) as plane:
        async with running(node.agent_of(plane)):
            await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
        lost = await until(plane.client, NODES, "node-1", "", node_ready_is("Unknown"))
        reasons = {condition.reason for condition in lost.status.conditions}
        async with running(node.agent_of(plane)):
            await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
        lease = await plane.client.get(LEASES, "node-1", "kube-node-lease")
    assert reasons == {"NodeStatusUnknown"}
    assert lease.spec.holder_identity == "node-1"


async def test_two_nodes_get_pod_ranges_of_their_own(tmp_path: Path) -> None:
    one, two = FakeNode("node-1", tmp_path / "1"), FakeNode("node-2", tmp_path / "2")
    async with control_plane() as plane, running(one.agent_of(plane), two.agent_of(plane)):
        for name in ("node-1", "node-2"):
            await until(plane.client, NODES, name, "", node_ready_is("True"))
        ranges = {node.spec.pod_cidr for node in (await plane.client.list(NODES)).items}
        await eventually(lambda: len([o for o in one.network.objects.values() if o.kind == "Node"]) == 2)
    assert ranges == {"10.244.0.0/24", "10.244.1.0/24"}


async def test_a_pod_waits_for_a_config_map_and_starts_when_it_comes(tmp_path: Path) -> None:
    container = Container(
        name="app", image="web:1", env_from=(EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings")),)
    )
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane, running(node.agent_of(plane)):
        pod = await pod_on("node-1", plane.client, a_pod(containers=(container,)))
        waiting = await until(plane.client, PODS, "web", "default", waits_because("CreateContainerConfigError"))
        settings = ConfigMap(metadata=ObjectMeta(name="settings", namespace="default"), data={"COLOUR": "blue"})
        await plane.client.create(CONFIGMAPS, settings)
        await until(plane.client, PODS, "web", "default", phase_is("Running"))
        config = node.runtime.configs(pod.metadata.uid)[0]
    assert waiting.status.container_statuses[0].state.waiting.message == 'configmap "settings" not found'
    assert ("COLOUR", "blue") in config.env


async def test_a_failing_pull_is_shown_with_its_cause_and_an_event(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    node.images.missing["web:1"] = "registry.example: 404 no such manifest"
    async with control_plane() as plane, running(node.agent_of(plane)):
        await pod_on("node-1", plane.client, a_pod())
        failed = await until(plane.client, PODS, "web", "default", waits_because("ErrImagePull"))

        async def event_tells() -> bool:
            return any("404" in (e.message or "") for e in (await plane.client.list(EVENTS)).items)

        await eventually(event_tells)
        node.images.missing.clear()
        await until(plane.client, PODS, "web", "default", phase_is("Running"))
    assert "404" in failed.status.container_statuses[0].state.waiting.message


async def test_a_run_to_completion_pod_succeeds_and_stays(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path, program=lambda config: Program(runs_s=0.05))
    async with control_plane() as plane, running(node.agent_of(plane)):
        pod = await pod_on("node-1", plane.client, a_pod(restart_policy="Never"))
        done = await until(plane.client, PODS, "web", "default", phase_is("Succeeded"))
        await eventually(lambda: ("stop_pod_sandbox", pod.metadata.uid) in node.runtime.calls)
    assert done.status.container_statuses[0].state.terminated.reason == "Completed"
    assert {c.type: c.reason for c in done.status.conditions}["Ready"] == "PodCompleted"
    assert len(node.runtime.configs(pod.metadata.uid)) == 1


async def test_a_wrong_token_joins_nobody(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    async with control_plane() as plane:
        with pytest.raises(JoinRefused, match="token"):
            await node.run_agent(plane.session_target, plane.join_target, plane.ca.cert_pem, token="guessed")


async def test_a_certificate_that_names_no_node_opens_no_session(tmp_path: Path) -> None:
    async with control_plane() as plane:
        admin = issue(plane.ca, "orch-admin", now=datetime.now(UTC), organizations=["system:masters"])
        dialer = GrpcDialer(plane.session_target, NodeCertificate(plane.ca.cert_pem, admin.cert_pem, admin.key_pem))
        with pytest.raises(ExceptionGroup) as failure:
            await say_hello(dialer)
    assert "is no node" in str(failure.value.exceptions[0])


async def test_tasks_that_write_to_one_session_at_once_do_not_break_it(tmp_path: Path) -> None:
    """Heartbeats and reports come from tasks of their own."""
    async with control_plane() as plane:
        dialer = await FakeNode("node-1", tmp_path).join(plane)
        large = node_pb2.AgentMessage(node_status=node_pb2.NodeStatus(node=NODES.codec.encode(a_large_node())))
        async with dialer() as link:
            hello = node_pb2.Hello(node=NODES.codec.encode(Node()))
            await link.send(node_pb2.AgentMessage(hello=hello))
            await asyncio.gather(*(link.send(large) for _ in range(20)))
            assert (await anext(aiter(link))).WhichOneof("message") == "welcome"


def a_large_node() -> Node:
    return Node(metadata=ObjectMeta(annotations={"large": "x" * 1_000_000}))


async def test_a_node_whose_object_is_deleted_registers_anew(tmp_path: Path) -> None:
    async with control_plane() as plane, running(FakeNode("node-1", tmp_path).agent_of(plane)):
        first = await until(plane.client, NODES, "node-1", "", node_ready_is("True"))
        await plane.client.delete(NODES, "node-1")

        def is_new(node: Node | None) -> bool:
            return node_ready_is("True")(node) and node is not None and node.metadata.uid != first.metadata.uid

        second = await until(plane.client, NODES, "node-1", "", is_new)
    assert second.spec.pod_cidr == first.spec.pod_cidr


async def test_a_second_session_of_a_node_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """An agent that was cut off comes back before the server has noticed."""
    async with control_plane() as plane:
        dialer = await FakeNode("node-1", tmp_path).join(plane)
        hello = node_pb2.AgentMessage(hello=node_pb2.Hello(node=NODES.codec.encode(Node())))
        async with dialer() as first, dialer() as second:
            await first.send(hello)
            assert (await anext(aiter(first))).WhichOneof("message") == "welcome"
            await second.send(hello)
            assert (await anext(aiter(second))).WhichOneof("message") == "welcome"
            async with asyncio.timeout(5):
                rest = [message.WhichOneof("message") async for message in first]
    assert rest == ["snapshot_begin", "snapshot_items", "snapshot_end"] or rest[-1] in ("delta", "snapshot_end")


async def test_a_pod_of_a_job_survives_a_reboot_without_running_twice(tmp_path: Path) -> None:
    """restartPolicy Never, done; then the machine starts anew, without a control plane to ask."""
    node = FakeNode("node-1", tmp_path, program=lambda config: Program(runs_s=0.01))
    async with control_plane() as plane, running(node.agent_of(plane)):
        pod = await pod_on("node-1", plane.client, a_pod(restart_policy="Never"))
        await until(plane.client, PODS, "web", "default", phase_is("Succeeded"))
    node.runtime.reboot()
    async with running(node.agent_of(plane)):
        await eventually(lambda: node.runtime.calls[-1] == ("stop_pod_sandbox", pod.metadata.uid))
        await asyncio.sleep(0.1)
    assert node.runtime.configs(pod.metadata.uid) == []


async def test_a_static_pod_has_a_mirror_that_cannot_stop_it(tmp_path: Path) -> None:
    """1. it runs, and the API shows it 2. its deleted mirror comes back; the pod runs on 3. without its file it is
    gone."""
    folder = tmp_path / "static"
    folder.mkdir()
    file = folder / "web.yaml"
    file.write_bytes(PODS.codec.encode(a_pod("static")))
    fake = FakeNode("node-1", tmp_path, static_folder=folder)
    async with control_plane() as plane, running(fake.agent_of(plane)):
        shown = await until(plane.client, PODS, "static-node-1", "default", phase_is("Running"))
        uid = (shown.metadata.annotations or {})["kubernetes.io/config.mirror"]
        assert fake.runtime.running(uid) == ["app"]
        await plane.client.delete(PODS, "static-node-1", "default")
        again = await until(
            plane.client, PODS, "static-node-1", "default",
            lambda pod: pod is not None and pod.metadata.uid != shown.metadata.uid and phase_is("Running")(pod),
        )  # fmt: skip
        assert again.status.start_time == shown.status.start_time
        file.unlink()
        await until(plane.client, PODS, "static-node-1", "default", is_gone)
        await eventually(lambda: fake.runtime.running(uid) == [])
