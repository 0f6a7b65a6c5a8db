"""The registry on the memory store, for the nodeplane's writers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from controlplane.nodeplane.session import LinkClosed
from controlplane.registry.assembly import RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.store.memory import MemoryBackend
from orch.api.kinds import PODS, builtin_kinds
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.client.client import Client
from orch.client.informer import Informer
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from protos import node_pb2
from tests.tokens import a_signer

NODEPLANE = User("system:orch-nodeplane")
POLL_S, POLLS_MAX = 0.005, 1000


@asynccontextmanager
async def api() -> AsyncIterator[tuple[Client, Client, asyncio.TaskGroup]]:
    """(admin's client, nodeplane's client, owner of background tasks)."""
    ids = SystemIds()
    parts = build_api(MemoryBackend(), builtin_kinds(), SystemClock(), ids, RegistrySettings(), a_signer())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(parts.run())]
        await parts.ready.wait()
        async with asyncio.TaskGroup() as inner:
            background = _Cancelled(inner)
            yield (
                LocalClient(parts.api, User("admin", ("system:masters",)), ids),
                LocalClient(parts.api, NODEPLANE, ids),
                background,  # type: ignore[misc]
            )
            background.cancel()
        for task in tasks:
            task.cancel()


class _Cancelled:
    """Tasks that end with the test."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: list[asyncio.Task[Any]] = []

    def create_task(self, coroutine: Any) -> asyncio.Task[Any]:
        task = self._group.create_task(coroutine)
        self._tasks.append(task)
        return task

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


class MemoryLink:
    def __init__(self) -> None:
        self.sent: list[node_pb2.ServerMessage] = []
        self.inbox: asyncio.Queue[node_pb2.AgentMessage | None] = asyncio.Queue()
        self.broken = False

    async def send(self, message: node_pb2.ServerMessage) -> None:
        if self.broken:
            raise LinkClosed("cut")
        self.sent.append(message)

    async def __aiter__(self) -> AsyncIterator[node_pb2.AgentMessage]:
        while (message := await self.inbox.get()) is not None:
            yield message

    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("message") for message in self.sent]


async def informer(client: Client, kind: Any, background: asyncio.TaskGroup) -> Informer[Any]:
    made = Informer(client, kind)
    background.create_task(made.run())
    await made.synced.wait()
    return made


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(POLLS_MAX):
        if await holds():
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError("it did not come to that")


async def a_bound_pod(client: Client, name: str = "web") -> Pod:
    spec = PodSpec(containers=(Container(name="app", image="app:1"),), node_name="n1")
    return await client.create(PODS, Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
