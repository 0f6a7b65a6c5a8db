"""Lifecycle hooks: what counts as success, by kubelet's rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nodeagent.pod_parts import ProbeTarget
from nodeagent.probes.hooks import run_hook
from nodeagent.runtime.fake import FakeRuntime
from nodeagent.runtime.fake_images import FakeImages
from nodeagent.runtime.interface import ContainerConfig, SandboxConfig
from orch.api.pod.container import (
    Container,
    ContainerPort,
    ExecAction,
    HTTPGetAction,
    HTTPHeader,
    LifecycleHandler,
    SleepAction,
    TCPSocketAction,
)
from orch.kit.clock import SystemClock
from tests.unit.nodeagent.machine import a_pod

LOOPBACK = "127.0.0.1"


async def a_target(runtime: FakeRuntime, port: int = 0) -> ProbeTarget:
    image = await FakeImages().pull("app:1")
    await runtime.run_pod_sandbox(SandboxConfig("web-uid", "default", "web", "web", "kubepods/web", "/tmp"))
    identity = await runtime.create_container(ContainerConfig("web-uid", "app", 0, image.id))
    await runtime.start_container(identity)
    container = Container(name="app", ports=(ContainerPort(container_port=port, name="http"),))
    return ProbeTarget(a_pod(), container, 0, identity, LOOPBACK)


@asynccontextmanager
async def a_server(asked: list[str], reply: str) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(reply.encode())
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("command", "fault"), [("true", ""), ("false", 'command "false" exited with 1')])
async def test_an_exec_must_end_with_zero(command: str, fault: str) -> None:
    runtime = FakeRuntime(SystemClock())
    handler = LifecycleHandler(exec=ExecAction(command=(command,)))
    assert await run_hook(handler, await a_target(runtime), runtime) == fault


async def test_any_answer_to_a_request_will_do() -> None:
    runtime, asked = FakeRuntime(SystemClock()), list[str]()
    async with a_server(asked, "HTTP/1.1 500 no\r\n\r\n") as port:
        action = HTTPGetAction(path="/bye", port="http", http_headers=(HTTPHeader(name="X-Why", value="stop"),))
        assert await run_hook(LifecycleHandler(http_get=action), await a_target(runtime, port), runtime) == ""
    assert asked[0].startswith("GET /bye HTTP/1.1")
    assert "X-Why: stop" in asked[0]
    assert "kube-lifecycle/" in asked[0]


async def test_nobody_listens() -> None:
    runtime = FakeRuntime(SystemClock())
    handler = LifecycleHandler(http_get=HTTPGetAction(path="/", port=1))
    assert 'Get "http://127.0.0.1:1/"' in await run_hook(handler, await a_target(runtime), runtime)


async def test_sleep_succeeds_and_tcp_socket_never_does() -> None:
    runtime = FakeRuntime(SystemClock())
    target = await a_target(runtime)
    assert await run_hook(LifecycleHandler(sleep=SleepAction(seconds=0)), target, runtime) == ""
    tcp = LifecycleHandler(tcp_socket=TCPSocketAction(port=80))
    assert "not supported" in await run_hook(tcp, target, runtime)
