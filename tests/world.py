"""A control plane without nodes on the memory store, for tests of what runs against the API."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from controlplane.controllers.all import run_controllers
from controlplane.registry.assembly import RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.scheduler.loop import Scheduler
from controlplane.store.memory import MemoryBackend
from orch.api.kind import Kind, KindTable
from orch.api.kinds import builtin_kinds
from orch.api.meta import Object, ObjectMeta
from orch.client.client import Client
from orch.errors import NotFound
from orch.kit.clock import Clock, LoopClock
from orch.kit.ids import Ids, SeededIds
from tests.builders import NOW
from tests.tokens import ROOT_CA, a_signer

T = TypeVar("T", bound=Object)

WAIT_S = 30.0
POLL_S = 0.05


class World:
    """`client` is the admin's; `node_side` speaks for the agents. Parts run once they are started."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.clock: Clock = LoopClock(NOW)
        self.ids: Ids = SeededIds(1)
        self.kinds: KindTable = builtin_kinds()
        self._tasks = tasks
        self._api = build_api(MemoryBackend(), self.kinds, self.clock, self.ids, RegistrySettings(), a_signer())
        self.client: Client = self.as_user("admin", "system:masters")
        self.node_side: Client = self.as_user("system:orch-nodeplane")

    def as_user(self, name: str, *groups: str) -> LocalClient:
        return LocalClient(self._api.api, User(name, groups), self.ids)

    async def start(self) -> None:
        self._tasks.create_task(self._api.run())
        await self._api.ready.wait()

    def start_scheduler(self) -> None:
        self._tasks.create_task(Scheduler(self.as_user("system:kube-scheduler"), self.clock, self.ids).run())

    def start_controllers(self) -> None:
        client = self.as_user("system:kube-controller-manager")
        self._tasks.create_task(run_controllers(client, self.kinds, self.clock, self.ids, ROOT_CA))

    async def make(self, kind: Kind[T], *objects: T) -> None:
        """Creates what a builder made, without what only the server sets."""
        for obj in objects:
            await self.client.create(kind, bare(kind, obj))

    async def names(self, kind: Kind[Any], namespace: str = "") -> list[str]:
        return [obj.metadata.name for obj in (await self.client.list(kind, namespace)).items]

    async def until(self, kind: Kind[T], name: str, namespace: str, holds: Callable[[T], bool]) -> T:
        """The object once `holds`; fails after `WAIT_S`."""
        async with asyncio.timeout(WAIT_S):
            while True:
                obj = await self.client.get(kind, name, namespace)
                if holds(obj):
                    return obj
                await asyncio.sleep(POLL_S)

    async def until_gone(self, kind: Kind[Any], name: str, namespace: str = "") -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                if not await self.exists(kind, name, namespace):
                    return
                await asyncio.sleep(POLL_S)

    async def exists(self, kind: Kind[Any], name: str, namespace: str = "") -> bool:
        try:
            await self.client.get(kind, name, namespace)
        except NotFound:
            return False
        return True


def bare(kind: Kind[T], obj: T) -> T:
    """Without what only the server sets."""
    metadata = obj.metadata
    wanted = ObjectMeta(
        name=metadata.name,
        namespace=metadata.namespace if kind.namespaced else "",
        labels=metadata.labels,
        annotations=metadata.annotations,
        finalizers=metadata.finalizers,
        owner_references=metadata.owner_references,
    )
    return replace(obj, metadata=wanted)


@asynccontextmanager
async def world(*parts: str) -> AsyncIterator[World]:
    """`parts`: of "scheduler" and "controllers", what runs from the start."""
    async with asyncio.TaskGroup() as tasks:
        made = World(tasks)
        await made.start()
        starters: Iterable[Callable[[], None]] = (getattr(made, f"start_{part}") for part in parts)
        for start in starters:
            start()
        yield made
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
