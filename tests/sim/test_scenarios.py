"""Stories of single faults on the simulated cluster, with the times that they may take."""

import asyncio
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from orch.api.deployment import Deployment
from orch.api.kinds import DEPLOYMENTS, PODS, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.pod.spec import Pod
from orch.api.service import Service
from tests.builders import deployment, service
from tests.sim.simulation import Simulation, simulation
from tests.sim.virtual_loop import virtual

NAMED = ObjectMeta(name="web", namespace="default")


def web(**fields: Any) -> Deployment:
    return replace(deployment(**fields), metadata=NAMED)


def web_service() -> Service:
    made = service()
    return replace(made, metadata=NAMED, spec=replace(made.spec, cluster_ip=None))


def pods(world: Simulation) -> list[Pod]:
    return [pod for pod in world.informers.of(PODS).items() if pod.metadata.deletion_timestamp is None]


async def running_web(world: Simulation, **fields: Any) -> None:
    await world.user.create(DEPLOYMENTS, web(**fields))
    await world.user.create(SERVICES, web_service())
    await world.converged(within_s=10)


@virtual
async def test_a_deployment_comes_up_spread_over_the_nodes(tmp_path: Path) -> None:
    async with simulation(1, tmp_path) as world:
        await asyncio.sleep(1)
        await world.user.create(DEPLOYMENTS, web(replicas=3))
        assert await world.converged(within_s=3) < 1.5
        assert sorted(pod.spec.node_name or "" for pod in pods(world)) == ["node-1", "node-2", "node-3"]


@virtual
async def test_a_rolling_update_keeps_its_bounds(tmp_path: Path) -> None:
    async with simulation(2, tmp_path) as world:
        await running_web(world, replicas=4, max_surge=1, max_unavailable=0)
        fewest = 4

        def count(old: Deployment | None, new: Deployment | None) -> None:
            nonlocal fewest
            fewest = min(fewest, (new.status.available_replicas or 0) if new else 0)

        world.informers.of(DEPLOYMENTS).add_handler(count)
        current = await world.user.get(DEPLOYMENTS, "web", "default")
        updated = replace(current.spec, template=web(image="app:2").spec.template)
        await world.user.update(DEPLOYMENTS, replace(current, spec=updated))
        await world.converged(within_s=30)
        assert {pod.spec.containers[0].image for pod in pods(world)} == {"app:2"}
        assert fewest == 4


@virtual
async def test_the_pods_of_a_lost_node_are_replaced_in_time(tmp_path: Path) -> None:
    """1. A node dies. 2. It is found lost after 1.5 s, tainted, and the default tolerations of 2 s run out.
    3. Within 1 s of that its pods have replacements that are Ready elsewhere, and the Service knows only those."""
    async with simulation(3, tmp_path) as world:
        await running_web(world, replicas=6)
        victim = world.machines[0]
        doomed = {pod.metadata.uid for pod in pods(world) if pod.spec.node_name == victim.name}
        assert doomed
        died_s = world.clock.monotonic()
        await victim.power_off()
        while {pod.metadata.uid for pod in pods(world)} & doomed or not all_ready(world, 6):
            await asyncio.sleep(0.05)
            assert world.clock.monotonic() - died_s < 5
        victim.start_agent()
        await world.converged(within_s=30)


def all_ready(world: Simulation, count: int) -> bool:
    (found,) = [each for each in world.informers.of(DEPLOYMENTS).items() if each.metadata.name == "web"]
    return found.status.ready_replicas == count


@virtual
async def test_nothing_is_evicted_when_most_nodes_vanish_at_once(tmp_path: Path) -> None:
    """1. The network fails between the server and two of three nodes. 2. A minute later every pod is still wanted
    where it was. 3. The network returns and everything is as before, with no pod restarted."""
    async with simulation(4, tmp_path) as world:
        await running_web(world, replicas=6)
        before = sorted(pod.metadata.uid for pod in pods(world))
        for machine in world.machines[:2]:
            world.network.partition(machine.name)
        await asyncio.sleep(60)
        assert sorted(pod.metadata.uid for pod in pods(world)) == before
        for machine in world.machines[:2]:
            world.network.heal(machine.name)
        await world.converged(within_s=30)
        assert sorted(pod.metadata.uid for pod in pods(world)) == before


@virtual
async def test_a_dead_control_plane_changes_nothing_on_the_nodes(tmp_path: Path) -> None:
    async with simulation(5, tmp_path) as world:
        await running_web(world, replicas=6)
        before = [machine.running_uids() for machine in world.machines]
        await world.control.kill()
        await asyncio.sleep(300)
        assert [machine.running_uids() for machine in world.machines] == before
        await world.control.start()
        await asyncio.sleep(30)
        await world.converged(within_s=30)
        assert [machine.running_uids() for machine in world.machines] == before


@virtual
async def test_a_killed_agent_adopts_its_containers(tmp_path: Path) -> None:
    async with simulation(6, tmp_path) as world:
        await running_web(world, replicas=3)
        machine = world.machines[0]
        before = machine.running_uids()
        starts = [call for call in machine.runtime.calls if call[0] == "start_container"]
        await machine.kill_agent()
        await asyncio.sleep(1)
        machine.start_agent()
        await world.converged(within_s=10)
        assert machine.running_uids() == before
        assert [call for call in machine.runtime.calls if call[0] == "start_container"] == starts


@virtual
async def test_slow_caches_make_no_pod_too_many(tmp_path: Path) -> None:
    """Every watch lags by up to half a second; a controller that counted on a stale view would create twice."""
    async with simulation(7, tmp_path) as world:
        await asyncio.sleep(1)
        world.faults.delay_max_s = 0.5
        created = 0

        def count(old: Pod | None, new: Pod | None) -> None:
            nonlocal created
            created += old is None

        world.informers.of(PODS).add_handler(count)
        await world.user.create(DEPLOYMENTS, web(replicas=10))
        await world.converged(within_s=60)
        assert created == 10
