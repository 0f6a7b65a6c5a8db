"""Two phases of trouble and rest: random work and random faults, then everything heals and must come to what is wanted.

Every choice is drawn from the simulation's own ids, so that the seed is the whole story.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from orch.api.deployment import Deployment
from orch.api.kinds import DEPLOYMENTS, NAMESPACES, NODES, PODS, SERVICES
from orch.api.meta import DeleteOptions, ObjectMeta
from orch.api.namespace import Namespace
from orch.errors import ApiError
from tests.builders import container, deployment, service, template
from tests.sim.control_plane import PARTS
from tests.sim.machine import SimMachine
from tests.sim.simulation import Simulation

T = TypeVar("T")

PAUSE_MAX_S = 1.5
REPAIR_MAX_S = 12.0
REPLICAS_MAX = 7
NAMES = ("web", "api", "db")
SPACES = ("default", "team")
IMAGES = ("app:1", "app:2", "app:3")
STRATEGIES = ("RollingUpdate", "RollingUpdate", "Recreate")
POLICIES = ("Background", "Foreground")


class Chaos:
    """`steps` random steps; what a step broke is repaired within REPAIR_MAX_S, or by `heal`."""

    def __init__(self, world: Simulation) -> None:
        self._world, self._ids = world, world.ids
        self._repairs: list[asyncio.Task[None]] = []

    async def run(self, steps: int, tasks: asyncio.TaskGroup) -> None:
        self._world.faults.refused = self._world.faults.unanswered = 0.02
        self._world.faults.watch_broken = 0.005
        self._world.faults.delay_max_s = 0.01
        work: tuple[Callable[[], Awaitable[None]], ...] = (
            self._apply, self._apply, self._apply, self._scale, self._scale, self._scale, self._update, self._update,
            self._update, self._pause, self._delete_pod, self._delete_pod, self._delete_deployment, self._serve,
            self._delete_namespace, self._cordon,
        )  # fmt: skip
        trouble: tuple[Callable[[asyncio.TaskGroup], Awaitable[None]], ...] = (
            self._kill_agent, self._power_off, self._partition, self._drop, self._kill_part, self._kill_control_plane,
        )  # fmt: skip
        for _ in range(4):
            await self._attempt(self._apply)
        for _ in range(steps):
            await asyncio.sleep(self._ids.uniform(0.0, PAUSE_MAX_S))
            if self._chance(0.7):
                await self._attempt(self._choice(work))
            else:
                await self._choice(trouble)(tasks)

    async def heal(self) -> None:
        """Everything is repaired and stays so."""
        for repair in self._repairs:
            await repair
        self._world.faults.heal()
        await self._attempt(self._apply)
        await self._attempt(self._uncordon_all)
        await self._attempt(self._resume_all)

    # What users do.

    async def _apply(self) -> None:
        space, name = self._choice(SPACES), self._choice(NAMES)
        await self._attempt(lambda: self._create_namespace(space))
        made = deployment(
            name,
            replicas=self._number(REPLICAS_MAX),
            strategy=self._choice(STRATEGIES),
            max_surge=self._choice((1, 2, "25%", "50%")),
            max_unavailable=self._choice((0, 1, "25%")),
        )
        pods = template(name, image=self._choice(IMAGES))
        pods = replace(pods, spec=replace(pods.spec, containers=(container(cpu="300m", memory="64Mi"),)))
        spec = replace(made.spec, template=pods, revision_history_limit=2)
        metadata = ObjectMeta(name=name, namespace=space)
        await self._world.user.create(DEPLOYMENTS, replace(made, metadata=metadata, spec=spec))

    async def _create_namespace(self, name: str) -> None:
        await self._world.user.create(NAMESPACES, Namespace(metadata=ObjectMeta(name=name)))

    async def _serve(self) -> None:
        metadata = ObjectMeta(name=self._choice(NAMES), namespace=self._choice(SPACES))
        made = service(metadata.name)
        await self._world.user.create(
            SERVICES, replace(made, metadata=metadata, spec=replace(made.spec, cluster_ip=None))
        )  # fmt: skip

    async def _scale(self) -> None:
        await self._change(lambda each: replace(each, spec=replace(each.spec, replicas=self._number(REPLICAS_MAX))))

    async def _update(self) -> None:
        def change(each: Deployment) -> Deployment:
            pods = each.spec.template
            (app,) = pods.spec.containers
            spec = replace(pods.spec, containers=(replace(app, image=self._choice(IMAGES)),))
            return replace(each, spec=replace(each.spec, template=replace(pods, spec=spec)))

        await self._change(change)

    async def _pause(self) -> None:
        await self._change(lambda each: replace(each, spec=replace(each.spec, paused=not each.spec.paused)))

    async def _change(self, change: Callable[[Deployment], Deployment]) -> None:
        found = (await self._world.user.list(DEPLOYMENTS)).items
        if found:
            await self._world.user.update(DEPLOYMENTS, change(self._choice(found)))

    async def _delete_pod(self) -> None:
        found = (await self._world.user.list(PODS)).items
        if found:
            metadata = self._choice(found).metadata
            await self._world.user.delete(PODS, metadata.name, metadata.namespace)

    async def _delete_deployment(self) -> None:
        found = (await self._world.user.list(DEPLOYMENTS)).items
        if found:
            metadata = self._choice(found).metadata
            options = DeleteOptions(propagation_policy=self._choice(POLICIES))
            await self._world.user.delete(DEPLOYMENTS, metadata.name, metadata.namespace, options=options)

    async def _delete_namespace(self) -> None:
        await self._world.user.delete(NAMESPACES, "team")

    async def _cordon(self) -> None:
        node = self._choice((await self._world.user.list(NODES)).items)
        cordoned = replace(node.spec, unschedulable=not node.spec.unschedulable)
        await self._world.user.update(NODES, replace(node, spec=cordoned))

    async def _uncordon_all(self) -> None:
        for node in (await self._world.user.list(NODES)).items:
            patch = {"spec": {"unschedulable": None}}
            await self._world.user.patch(NODES, node.metadata.name, "", patch)

    async def _resume_all(self) -> None:
        for each in (await self._world.user.list(DEPLOYMENTS)).items:
            patch = {"spec": {"paused": None}}
            await self._world.user.patch(DEPLOYMENTS, each.metadata.name, each.metadata.namespace, patch)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        """A user's request may be refused: the object is there already, or gone, or has just changed."""
        try:
            await step()
        except ApiError:
            return

    # What breaks.

    async def _kill_agent(self, tasks: asyncio.TaskGroup) -> None:
        machine = self._choice(self._world.machines)
        await machine.kill_agent()
        self._repair_later(tasks, lambda: self._start(machine))

    async def _power_off(self, tasks: asyncio.TaskGroup) -> None:
        machine = self._choice(self._world.machines)
        self._world.network.drop(machine.name)
        await machine.power_off()
        self._repair_later(tasks, lambda: self._start(machine))

    async def _start(self, machine: SimMachine) -> None:
        machine.start_agent()

    async def _partition(self, tasks: asyncio.TaskGroup) -> None:
        name = self._choice(self._world.machines).name
        self._world.network.partition(name)
        self._repair_later(tasks, lambda: self._heal_network(name))

    async def _heal_network(self, name: str) -> None:
        self._world.network.heal(name)

    async def _drop(self, tasks: asyncio.TaskGroup) -> None:
        self._world.network.drop(self._choice(self._world.machines).name)

    async def _kill_part(self, tasks: asyncio.TaskGroup) -> None:
        part = self._choice(PARTS)
        await self._world.control.kill_part(part)
        self._repair_later(tasks, lambda: self._start_part(part))

    async def _start_part(self, part: str) -> None:
        if self._world.control.up:
            self._world.control.start_part(part)

    async def _kill_control_plane(self, tasks: asyncio.TaskGroup) -> None:
        await self._world.control.kill()
        self._repair_later(tasks, self._world.control.restart)

    def _repair_later(self, tasks: asyncio.TaskGroup, repair: Callable[[], Awaitable[None]]) -> None:
        delay_s = self._ids.uniform(0.0, REPAIR_MAX_S)

        async def run() -> None:
            await asyncio.sleep(delay_s)
            await repair()

        self._repairs.append(tasks.create_task(run(), name="repair"))

    def _choice(self, options: Sequence[T]) -> T:
        return options[min(int(self._ids.uniform(0.0, len(options))), len(options) - 1)]

    def _chance(self, share: float) -> bool:
        return self._ids.uniform(0.0, 1.0) < share

    def _number(self, most: int) -> int:
        return self._choice(tuple(range(most + 1)))
