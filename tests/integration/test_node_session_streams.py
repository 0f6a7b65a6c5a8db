"""exec, attach, port-forward and logs through the node session: API side, one-time token, agent, fake runtime."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.apiserver.streams import AttachRequest, Channel, ExecRequest, Frame, LogRequest, PortForwardRequest
from nodeagent.runtime.fake import Program
from orch.api.kinds import PODS
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.errors import BadRequest, InternalError, NotFound, ServiceUnavailable
from tests.node_session import ControlPlane, FakeNode, control_plane, phase_is, pod_on, running, until


@asynccontextmanager
async def pod_running(folder: Path, *, stdin: bool = False) -> AsyncIterator[tuple[ControlPlane, Pod, FakeNode]]:
    program = Program(says=("one", "two", "three"), ports=(80,))
    node = FakeNode("node-1", folder, program=lambda config: program)
    pod = Pod(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=PodSpec(containers=(Container(name="app", image="web:1", stdin=stdin or None),)),
    )
    async with control_plane() as plane, running(node.agent_of(plane)):
        created = await pod_on("node-1", plane.client, pod)
        await until(plane.client, PODS, "web", "default", phase_is("Running"))
        yield plane, created, node


def an_exec(pod: Pod, *command: str) -> ExecRequest:
    meta = pod.metadata
    return ExecRequest(meta.uid, meta.namespace, meta.name, "app", command, True, True, True, False)


def a_log(pod: Pod) -> LogRequest:
    return LogRequest(pod.metadata.uid, pod.metadata.namespace, pod.metadata.name, "app")


async def exec_frames(plane: ControlPlane, request: ExecRequest) -> list[Frame]:
    async with plane.nodeplane.streams.exec("node-1", request) as stream:
        return [frame async for frame in stream]


async def log_text(plane: ControlPlane, request: LogRequest) -> bytes:
    async with plane.nodeplane.streams.logs("node-1", request) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_exec_gives_output_and_success(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        output, end = await exec_frames(plane, an_exec(pod, "echo", "hello"))
    assert output == Frame(Channel.STDOUT, b"echo hello\n")
    assert end.channel is Channel.ERROR
    assert json.loads(end.data)["status"] == "Success"


async def test_exec_gives_the_exit_code(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        *_, end = await exec_frames(plane, an_exec(pod, "exit", "3"))
    status = json.loads(end.data)
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_exec_passes_input_and_sizes_and_its_end(tmp_path: Path) -> None:
    async with (
        pod_running(tmp_path) as (plane, pod, _),
        plane.nodeplane.streams.exec("node-1", an_exec(pod, "cat")) as stream,
    ):
        await stream.send(Frame(Channel.STDIN, b"typed"))
        await stream.send(Frame(Channel.RESIZE, b'{"Width": 132, "Height": 40}'))
        await stream.send(Frame(Channel.CLOSE, bytes([Channel.STDIN])))
        frames = [frame async for frame in stream]
    assert b"".join(f.data for f in frames if f.channel is Channel.STDOUT) == b"typed132x40\n"
    assert frames[-1].channel is Channel.ERROR


async def test_exec_refuses_a_container_that_is_not_there(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        with pytest.raises(NotFound, match="other"):
            await exec_frames(plane, replace(an_exec(pod, "true"), container="other"))


async def test_streams_to_a_node_without_a_session_are_unavailable(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        with pytest.raises(ServiceUnavailable, match="node-9"):
            async with plane.nodeplane.streams.logs("node-9", a_log(pod)):
                pass


async def test_logs_whole_and_tail(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        assert await log_text(plane, a_log(pod)) == b"one\ntwo\nthree\n"
        assert await log_text(plane, replace(a_log(pod), tail_lines=1)) == b"three\n"
        assert await log_text(plane, replace(a_log(pod), limit_bytes=5)) == b"one\nt"


async def test_logs_of_an_earlier_attempt_need_one(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        with pytest.raises(BadRequest, match='previous terminated container "app" in pod "web" not found'):
            await log_text(plane, replace(a_log(pod), previous=True))


async def test_logs_of_a_container_without_its_image_say_so(tmp_path: Path) -> None:
    node = FakeNode("node-1", tmp_path)
    node.images.missing["gone:1"] = "no such manifest"
    pod = Pod(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=PodSpec(containers=(Container(name="app", image="gone:1"),)),
    )
    async with control_plane() as plane, running(node.agent_of(plane)):
        created = await pod_on("node-1", plane.client, pod)
        await until(plane.client, PODS, "web", "default", is_waiting)
        with pytest.raises(BadRequest, match=r'container "app" in pod "web" is waiting to start: .*image'):
            await log_text(plane, a_log(created))


def is_waiting(pod: Pod) -> bool:
    """For another reason than that it is being created."""
    statuses = pod.status.container_statuses or ()
    return any(one.state and one.state.waiting and "Image" in (one.state.waiting.reason or "") for one in statuses)


async def test_followed_logs_bring_new_lines_and_end_with_the_container(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, node):
        (log,) = (tmp_path / "logs").rglob("0.log")
        received = b""
        async with plane.nodeplane.streams.logs("node-1", replace(a_log(pod), follow=True, tail_lines=0)) as chunks:
            await asyncio.sleep(0.05)
            with log.open("a") as file:
                file.write("2026-01-01T00:00:00.000000000+00:00 stdout F four\n")
            received = await asyncio.wait_for(anext(chunks), 5)
            node.runtime.end(f"{pod.metadata.uid}-app-0", exit_code=0)
            assert await asyncio.wait_for(anext(chunks, None), 5) is None
    assert received == b"four\n"


def an_attach(pod: Pod) -> AttachRequest:
    meta = pod.metadata
    return AttachRequest(meta.uid, meta.namespace, meta.name, "app", True, True, True, False)


def a_port(pod: Pod, port: int) -> PortForwardRequest:
    return PortForwardRequest(pod.metadata.uid, pod.metadata.namespace, pod.metadata.name, port)


async def test_exec_of_a_command_that_is_not_there_is_told_as_kubelet_does(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        [end] = await exec_frames(plane, an_exec(pod, "missing"))
    status = json.loads(end.data)
    assert (end.channel, status["status"], status["reason"]) == (Channel.ERROR, "Failure", "InternalError")
    assert status["message"].startswith("Internal error occurred: error executing command in container: ")
    assert 'exec: "missing": executable file not found in $PATH' in status["message"]
    [cause] = status["details"]["causes"]
    assert status["message"] == f"Internal error occurred: {cause['message']}"


async def test_attach_passes_both_directions_and_ends_with_the_container(tmp_path: Path) -> None:
    async with (
        pod_running(tmp_path, stdin=True) as (plane, pod, node),
        plane.nodeplane.streams.attach("node-1", an_attach(pod)) as stream,
    ):
        frames = aiter(stream)
        await stream.send(Frame(Channel.STDIN, b"typed"))
        assert await asyncio.wait_for(anext(frames), 5) == Frame(Channel.STDOUT, b"typed")
        node.runtime.end(f"{pod.metadata.uid}-app-0", exit_code=3)
        end = await asyncio.wait_for(anext(frames), 5)
    assert end.channel is Channel.ERROR
    assert json.loads(end.data)["status"] == "Success"


async def test_leaving_an_attach_leaves_the_container(tmp_path: Path) -> None:
    async with pod_running(tmp_path, stdin=True) as (plane, pod, node):
        for text in (b"one", b"two"):
            async with plane.nodeplane.streams.attach("node-1", an_attach(pod)) as stream:
                await stream.send(Frame(Channel.STDIN, text))
                assert (await asyncio.wait_for(anext(aiter(stream)), 5)).data == text
        assert node.runtime.running(pod.metadata.uid) == ["app"]


async def test_a_forwarded_port_half_closes(tmp_path: Path) -> None:
    async with (
        pod_running(tmp_path) as (plane, pod, _),
        plane.nodeplane.streams.port_forward("node-1", a_port(pod, 80)) as stream,
    ):
        await stream.write(b"ping")
        assert await asyncio.wait_for(stream.read(), 5) == b"ping"
        await stream.end()
        assert await asyncio.wait_for(stream.read(), 5) == b""


async def test_a_forwarded_port_that_the_pod_resets_is_no_end(tmp_path: Path) -> None:
    async with (
        pod_running(tmp_path) as (plane, pod, node),
        plane.nodeplane.streams.port_forward("node-1", a_port(pod, 80)) as stream,
    ):
        await stream.write(b"ping")
        assert await asyncio.wait_for(stream.read(), 5) == b"ping"
        node.runtime.reset_ports()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(stream.read(), 5)


async def test_a_port_without_a_listener_is_refused_by_name(tmp_path: Path) -> None:
    async with pod_running(tmp_path) as (plane, pod, _):
        with pytest.raises(InternalError, match=f"forwarding port 81 to pod {pod.metadata.uid}.*81"):
            async with plane.nodeplane.streams.port_forward("node-1", a_port(pod, 81)):
                pass
        with pytest.raises(NotFound):
            async with plane.nodeplane.streams.port_forward("node-1", replace(a_port(pod, 80), pod_uid="other")):
                pass
