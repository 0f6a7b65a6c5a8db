"""The server's parts over one store that outlives them. API, scheduler, controllers and nodeplane can die apart."""

import asyncio
from collections.abc import Awaitable, Callable

from controlplane.controllers.all import run_controllers
from controlplane.nodeplane.nodeplane import NodePlane
from controlplane.nodeplane.settings import NodePlaneSettings
from controlplane.registry.assembly import ApiParts, RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.scheduler.loop import Scheduler
from controlplane.store.memory import MemoryBackend
from orch.api.kind import KindTable
from orch.client.client import Client
from orch.errors import OrchError
from orch.kit.clock import Clock
from orch.kit.ids import Ids
from tests.sim.flaky_client import Faults, FlakyClient
from tests.sim.network import Connection, Network
from tests.tokens import ROOT_CA, a_signer

CLUSTER_ID = "sim"
SETTINGS = NodePlaneSettings(cluster_id=CLUSTER_ID)
PARTS = ("nodeplane", "scheduler", "controllers")


class ControlPlane:
    """One server process. A part that ends by itself is a bug and ends the simulation."""

    def __init__(
        self, backend: MemoryBackend, kinds: KindTable, clock: Clock, ids: Ids, network: Network, faults: Faults,
        tasks: asyncio.TaskGroup,
    ) -> None:  # fmt: skip
        self._backend, self._kinds, self._clock, self._ids = backend, kinds, clock, ids
        self._network, self._faults, self._tasks = network, faults, tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        self._api: ApiParts
        self._nodeplane: NodePlane

    async def start(self) -> None:
        """Returns when the API answers."""
        self._api = build_api(self._backend, self._kinds, self._clock, self._ids, RegistrySettings(), a_signer())
        self._start("api", self._api.run)
        await self._api.ready.wait()
        for part in PARTS:
            self.start_part(part)

    def start_part(self, part: str) -> None:
        if part in self._running:
            return
        match part:
            case "scheduler":
                self._start(part, Scheduler(self._client("kube-scheduler"), self._clock, self._ids).run)
            case "controllers":
                client = self._client("kube-controller-manager")
                self._start(part, lambda: run_controllers(client, self._kinds, self._clock, self._ids, ROOT_CA))
            case "nodeplane":
                client = self._client("orch-nodeplane")
                self._nodeplane = NodePlane(client, self._clock, self._ids, SETTINGS, self._api.usage)
                self._start(part, self._nodeplane.run)
                self._network.serve = self._accept

    async def kill_part(self, part: str) -> None:
        if part == "nodeplane":
            self._network.serve = None
            self._network.drop_all()
        task = self._running.pop(part, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def kill(self) -> None:
        """The whole process at once."""
        for part in (*PARTS, "api"):
            await self.kill_part(part)

    async def restart(self) -> None:
        """Whatever of it still runs is killed first."""
        await self.kill()
        await self.start()

    @property
    def up(self) -> bool:
        return "api" in self._running

    def _client(self, identity: str) -> Client:
        return FlakyClient(LocalClient(self._api.api, User(f"system:{identity}"), self._ids), self._faults, self._ids)

    def _start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await loop()
            raise AssertionError(f"{name} ended by itself")

        self._running[name] = self._tasks.create_task(run(), name=name)

    def _accept(self, node: str, connection: Connection) -> None:
        nodeplane = self._nodeplane

        async def serve() -> None:
            try:
                await nodeplane.serve(node, connection.server_end)
            except OrchError:
                pass  # gRPC would carry it to the agent; the agent sees a broken connection all the same
            finally:
                connection.break_off()

        self._tasks.create_task(serve(), name=f"session-{node}")
