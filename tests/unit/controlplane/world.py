"""The whole API over a memory store, in one context manager, for tests in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from controlplane.registry.assembly import ApiParts, RegistrySettings, build_api
from controlplane.registry.interface import RequestContext, User
from controlplane.registry.local_client import LocalClient
from controlplane.store.backend import Backend
from controlplane.store.memory import MemoryBackend
from orch.api.kind import KindTable
from orch.api.kinds import builtin_kinds
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.kit.clock import LoopClock
from orch.kit.ids import SeededIds
from tests.builders import NOW, node
from tests.tokens import a_signer

ADMIN = User("admin", ("system:masters",))
NODEPLANE = User("system:orch-nodeplane")
STEP_TIMEOUT_S = 5


@dataclass
class World:
    parts: ApiParts
    backend: Backend
    kinds: KindTable
    ids: SeededIds

    @property
    def admin(self) -> LocalClient:
        return self.client(ADMIN)

    def client(self, user: User) -> LocalClient:
        return LocalClient(self.parts.api, user, self.ids)

    def context(self, user: User = ADMIN, warnings: list[str] | None = None) -> RequestContext:
        return RequestContext(user, "test", (warnings if warnings is not None else []).append)


@asynccontextmanager
async def world(backend: Backend | None = None, **settings: Any) -> AsyncIterator[World]:
    """`settings` are fields of RegistrySettings."""
    store = backend or MemoryBackend()
    kinds, ids = builtin_kinds(), SeededIds(1)
    parts = build_api(store, kinds, LoopClock(NOW), ids, RegistrySettings(**settings), a_signer())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(parts.run())
        await parts.ready.wait()
        yield World(parts, store, kinds, ids)
        running.cancel()


def new_pod(name: str = "pod", *, namespace: str = "default", spec: dict[str, Any] | None = None, **meta: Any) -> Pod:
    containers = (Container(name="app", image="app:1"),)
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, **meta),
        spec=PodSpec(**({"containers": containers} | (spec or {}))),
    )


def new_node(name: str) -> Node:
    return replace(node(name), metadata=ObjectMeta(name=name))


async def take(events: AsyncIterator[Any], count: int) -> Sequence[Any]:
    """The next `count` events of a watch of single events."""
    async with asyncio.timeout(STEP_TIMEOUT_S):
        return [await anext(events) for _ in range(count)]
