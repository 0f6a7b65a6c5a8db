"""The world of one simulation: a store, a control plane, machines and the network between them, in virtual time.

    Simulation --- user ------> API (never dies; a second server on the same store)
               --- control ---> ControlPlane: API, scheduler, controllers, nodeplane
               --- machines --> agents with pod machines on fake runtimes
               --- network ---- delays, partitions, broken connections

Everything random comes from `SeededIds(seed)`, every time from the loop: one seed, one history, one trace hash.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from controlplane.registry.assembly import RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.store.memory import EMPTY_STORE_REVISION, MemoryBackend
from orch.api.kinds import ALL_KINDS, builtin_kinds
from orch.client.client import Client
from orch.client.informer import Informers
from orch.kit.clock import Clock, LoopClock
from orch.kit.ids import Ids, SeededIds
from tests.sim.control_plane import ControlPlane
from tests.sim.convergence import differences
from tests.sim.flaky_client import Faults
from tests.sim.invariants import Invariants
from tests.sim.machine import SimMachine
from tests.sim.network import Network
from tests.tokens import a_signer

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
MACHINE_CHECK_INTERVAL_S = 0.1
SETTLE_POLL_S = 0.25


class Simulation:
    def __init__(self, seed: int, folder: Path, machines: int, tasks: asyncio.TaskGroup) -> None:
        self.clock: Clock = LoopClock(EPOCH)
        self.ids: Ids = SeededIds(seed)
        self.kinds = builtin_kinds()
        self.faults = Faults()
        self.network = Network(self.ids)
        self._backend = MemoryBackend()
        self._tasks = tasks
        self._trace = hashlib.sha256()
        self.control = ControlPlane(
            self._backend, self.kinds, self.clock, self.ids, self.network, self.faults, tasks
        )  # fmt: skip
        self.machines = [
            SimMachine(number, folder, self.network, self.clock, self.ids, tasks) for number in range(1, machines + 1)
        ]
        self.user: Client
        self.informers: Informers
        self.invariants: Invariants

    async def start(self) -> None:
        self._tasks.create_task(self._follow_store(), name="trace")
        api = build_api(self._backend, self.kinds, self.clock, self.ids, RegistrySettings(), a_signer())
        self._tasks.create_task(api.run(), name="user api")
        await api.ready.wait()
        self.user = LocalClient(api.api, User("admin", ("system:masters",)), self.ids)
        self.informers = Informers(self.user)
        for kind in ALL_KINDS:
            self._tasks.create_task(self.informers.of(kind).run(), name=f"observer {kind.plural}")
        self.invariants = Invariants(self.informers, self.machines)
        await self.control.start()
        for machine in self.machines:
            machine.start_agent()
        self._tasks.create_task(self._check_machines(), name="invariants")

    @property
    def trace_hash(self) -> str:
        """Digest of every write to the store, with its virtual time."""
        return self._trace.hexdigest()

    def differences(self) -> list[str]:
        """Between what users asked for and what is."""
        return differences(self.informers, self.machines)

    async def converged(self, within_s: float) -> float:
        """Waits until nothing differs; how long it took. Fails with the differences that are left."""
        start_s = self.clock.monotonic()
        await asyncio.sleep(SETTLE_POLL_S)
        while found := self.differences():
            if self.clock.monotonic() - start_s > within_s:
                raise AssertionError(f"not converged after {within_s:.0f} s: " + "; ".join(found))
            await asyncio.sleep(SETTLE_POLL_S)
        return self.clock.monotonic() - start_s

    async def _follow_store(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._backend.watch("", start_revision=EMPTY_STORE_REVISION + 1) as steps:
            async for step in steps:
                for change in step.changes:
                    value = change.entry.value if change.entry else b"deleted"
                    self._trace.update(f"{loop.time():.6f} {change.revision} {change.key} ".encode() + value)

    async def _check_machines(self) -> None:
        while True:
            self.invariants.check_machines()
            await asyncio.sleep(MACHINE_CHECK_INTERVAL_S)


@asynccontextmanager
async def simulation(seed: int, folder: Path, machines: int = 3) -> AsyncIterator[Simulation]:
    """A started simulation; everything of it ends with the block. A failure in any part is raised."""
    async with asyncio.TaskGroup() as tasks:
        world = Simulation(seed, folder, machines, tasks)
        await world.start()
        yield world
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
