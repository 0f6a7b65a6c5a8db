"""attach and port-forward by the clients that people have: every kubectl, and the Python client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.stream import portforward, stream

from controlplane.apiserver.streams import AttachRequest
from tests.apiserver import RunningServer, memory_server
from tests.kubectl import Kubectl, installed
from tests.unit.controlplane.apiserver.fakes import FakeStreams

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: node-1
  containers: [{name: app, image: "app:1", stdin: true, ports: [{containerPort: 80}]}]
"""
RUNNING = '{"status":{"phase":"Running"}}'
BIG = b"0123456789abcdef" * 64 * 1024
WAIT_S = 30


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
async def running(tmp_path: Path, streams: FakeStreams) -> AsyncIterator[RunningServer]:
    """With a running pod, whose port 80 echoes."""
    async with memory_server(tmp_path, streams) as running:
        kubectl = installed()[-1]
        await kubectl.run(running.kubeconfig, "create", "-f", "-", stdin=POD)
        await kubectl.run(running.kubeconfig, "patch", "pod", "web", "--subresource=status", "-p", RUNNING)
        echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
        streams.ports = {80: echo.sockets[0].getsockname()[1]}
        yield running
        echo.close()


@pytest.fixture(params=installed(), ids=lambda kubectl: kubectl.name)
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    found: Kubectl = request.param
    return found


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def forwarding(running: RunningServer, kubectl: Kubectl, port: int) -> AsyncIterator[tuple[int, Any]]:
    """(local port, kubectl's process)."""
    process = await asyncio.create_subprocess_exec(
        kubectl.path,
        *("--kubeconfig", str(running.kubeconfig), "port-forward", "pod/web", f":{port}", "--address=127.0.0.1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(running.directory)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT_S):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("Forwarding from 127.0.0.1:"), (await process.communicate())[1].decode()
        yield int(line.split()[2].rpartition(":")[2]), process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def exchange(port: int, data: bytes) -> bytes:
    """Sends all, ends its side, reads to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(send())
        answer = await reader.read()
    writer.close()
    return answer


async def test_kubectl_port_forward(running: RunningServer, kubectl: Kubectl, streams: FakeStreams) -> None:
    async with forwarding(running, kubectl, 80) as (port, _):
        assert await exchange(port, b"hello") == b"hello"
        async with asyncio.TaskGroup() as group:
            many = [group.create_task(exchange(port, b"%d" % n + BIG)) for n in range(8)]
        assert [task.result() == b"%d" % n + BIG for n, task in enumerate(many)] == [True] * 8
    async with asyncio.timeout(WAIT_S):
        while streams.forwards_open:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)


async def test_kubectl_names_the_port_that_refuses(running: RunningServer, kubectl: Kubectl) -> None:
    async with forwarding(running, kubectl, 99) as (port, process):
        assert await exchange(port, b"") == b""
        async with asyncio.timeout(WAIT_S):
            said = await process.stderr.readline()
    assert b"an error occurred forwarding" in said
    assert b"error forwarding port 99 to pod web" in said
    assert b"connect: connection refused" in said


async def test_kubectl_attach(running: RunningServer, kubectl: Kubectl, streams: FakeStreams) -> None:
    out = await kubectl.run(running.kubeconfig, "attach", "-i", "web", stdin="hello")
    assert "hello" in out
    request = streams.execs[0].request
    assert isinstance(request, AttachRequest)
    assert (request.container, request.stdin, request.tty) == ("app", True, False)


async def test_kubectl_exec_ends_with_the_exit_code(
    running: RunningServer, kubectl: Kubectl, streams: FakeStreams
) -> None:
    streams.exit_code = 126
    out = await kubectl.run(running.kubeconfig, "exec", "-i", "web", "--", "cat", stdin="hello", check=False)
    assert out.startswith("hello")
    assert "command terminated with exit code 126" in out


def python_client(running: RunningServer) -> Any:
    config = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(running.kubeconfig), client_configuration=config)
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(config))


def python_exchange(running: RunningServer, data: bytes) -> bytes:
    api = python_client(running)
    forward = portforward(api.connect_get_namespaced_pod_portforward, "web", "default", ports="80")
    with closing(forward.socket(80)) as sock:
        sock.setblocking(True)
        sock.settimeout(WAIT_S)
        sock.sendall(data)
        answer = b""
        while len(answer) < len(data):
            answer += sock.recv(65536)
        assert forward.error(80) is None
    api.api_client.close()
    return answer


def python_refused(running: RunningServer) -> tuple[bytes, str]:
    api = python_client(running)
    forward = portforward(api.connect_get_namespaced_pod_portforward, "web", "default", ports="99")
    with closing(forward.socket(99)) as sock:
        sock.setblocking(True)
        sock.settimeout(WAIT_S)
        end = sock.recv(10)
    api.api_client.close()
    return end, forward.error(99)


def python_attach(running: RunningServer) -> str:
    api = python_client(running)
    attached = stream(
        api.connect_get_namespaced_pod_attach, "web", "default", stdin=True, stdout=True, stderr=True, tty=False,
        _preload_content=False,
    )  # fmt: skip
    attached.write_stdin("hello\n")
    answer = attached.readline_stdout(timeout=WAIT_S)
    attached.close()
    api.api_client.close()
    return str(answer)


async def test_python_port_forward(running: RunningServer) -> None:
    assert await asyncio.to_thread(python_exchange, running, b"hello") == b"hello"
    assert await asyncio.to_thread(python_exchange, running, BIG) == BIG


async def test_python_reads_what_went_wrong(running: RunningServer) -> None:
    end, error = await asyncio.to_thread(python_refused, running)
    assert end == b""
    assert "error forwarding port 99 to pod web" in error


async def test_python_attach(running: RunningServer) -> None:
    assert await asyncio.to_thread(python_attach, running) == "hello"
