"""Connections to pods' ports: loopback only, both address families, host network, half-close, large transfers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from nodeagent.runtime.interface import PortRefused, SandboxConfig
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

ECHO = "exec nc -ll -p 7007 -e cat"
TRANSFER_BYTES = 8 << 20


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("ports") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


async def serving(node: Node, *, only_ipv6: bool = False) -> SandboxConfig:
    sandbox = await node.pod(sysctls={"net.ipv6.bindv6only": str(int(only_ipv6))})
    container_id = await node.start(shell(sandbox, node.image, ECHO))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while ":1B5F" not in await node.inside(container_id, "cat", "/proc/net/tcp6"):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    return sandbox


@pytest.mark.parametrize("only_ipv6", [False, True])
async def test_a_large_transfer_comes_back_whole(node: Node, only_ipv6: bool) -> None:
    sandbox = await serving(node, only_ipv6=only_ipv6)
    received = 0
    async with (
        asyncio.timeout(STEP_TIMEOUT_S),
        node.runtime.port_forward(sandbox.pod_uid, 7007) as connection,
        asyncio.TaskGroup() as group,
    ):

        async def send() -> None:
            await connection.write(b"x" * TRANSFER_BYTES)
            await connection.close_write()

        group.create_task(send())
        while data := await connection.read():
            received += len(data)
    assert received == TRANSFER_BYTES


async def test_many_at_once(node: Node) -> None:
    sandbox = await serving(node)

    async def echoed(text: bytes) -> bytes:
        async with node.runtime.port_forward(sandbox.pod_uid, 7007) as connection:
            await connection.write(text)
            return await connection.read()

    texts = [f"{number}".encode() for number in range(20)]
    assert await asyncio.gather(*map(echoed, texts)) == texts


async def test_a_pod_on_the_hosts_network_is_reached_there(node: Node) -> None:
    sandbox = await node.pod(host_network=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with node.runtime.port_forward(sandbox.pod_uid, port) as connection:
            accepted, _ = server.accept()
            with accepted:
                await connection.write(b"hello")
                assert accepted.recv(5) == b"hello"


async def test_what_listens_on_the_host_is_not_the_pods(node: Node) -> None:
    sandbox = await node.pod()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortRefused, match=r"127.0.0.1: .*refused; ::1: .*refused"):
            async with node.runtime.port_forward(sandbox.pod_uid, port):
                pass


async def test_nothing_of_the_namespace_leaks_into_the_agent(node: Node) -> None:
    sandbox = await serving(node)
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with node.runtime.port_forward(sandbox.pod_uid, 7007):
            socket.create_connection(server.getsockname()).close()
