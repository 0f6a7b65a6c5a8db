"""The scheduler on a real registry: binds, says why not, wakes by what helps, never puts more on a node than fits."""

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from controlplane.scheduler.loop import Scheduler
from orch.api.kind import Kind
from orch.api.kinds import EVENTS, NODES, PODS
from orch.api.node import Node
from orch.api.pod.spec import Pod, PodSchedulingGate
from orch.api.shared import Taint
from orch.errors import ServiceUnavailable
from tests.builders import node, pod
from tests.sim.flaky_client import Faults, FlakyClient
from tests.sim.virtual_loop import virtual
from tests.world import World, world

LAG_S = 1.0


async def node_names(made: World) -> dict[str, str]:
    return {each.metadata.name: each.spec.node_name or "" for each in (await made.client.list(PODS)).items}


async def bound(made: World, name: str) -> Pod:
    return await made.until(PODS, name, "default", lambda each: bool(each.spec.node_name))


async def change_node(made: World, name: str, **spec: Any) -> None:
    current = await made.client.get(NODES, name)
    await made.client.update(NODES, replace(current, spec=replace(current.spec, **spec)))


def small(name: str = "node-1") -> Node:
    return node(name, cpu="1")


def condition(subject: Pod) -> tuple[str, str | None, str | None]:
    (found,) = [each for each in subject.status.conditions or () if each.type == "PodScheduled"]
    return found.status, found.reason, found.message


@virtual
async def test_a_pod_is_bound_and_an_event_tells_of_it() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, small())
        await made.make(PODS, pod("p"))
        placed = await bound(made, "p")
        assert placed.spec.node_name == "node-1"
        assert condition(placed)[0] == "True"
        await asyncio.sleep(1)
        (event,) = (await made.client.list(EVENTS)).items
        assert (event.reason, event.message) == ("Scheduled", "Successfully assigned default/p to node-1")


@virtual
async def test_a_pod_that_fits_nowhere_says_why_and_is_bound_when_a_node_comes() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, small())
        await made.make(PODS, pod("big", cpu="2"))
        await asyncio.sleep(1)
        waiting = await made.client.get(PODS, "big", "default")
        expected = "0/1 nodes are available: 1 Insufficient cpu."
        assert condition(waiting) == ("False", "Unschedulable", expected)
        (event,) = (await made.client.list(EVENTS)).items
        assert (event.type, event.reason, event.message) == ("Warning", "FailedScheduling", expected)
        await asyncio.sleep(100)
        await made.make(NODES, node("large"))
        came_s = made.clock.monotonic()
        assert (await bound(made, "big")).spec.node_name == "large"
        assert made.clock.monotonic() - came_s < 0.2


@virtual
async def test_the_end_of_a_pod_makes_room_for_the_next() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, small())
        await made.make(PODS, pod("first", cpu="800m"))
        await bound(made, "first")
        await made.make(PODS, pod("second", cpu="800m"))
        await asyncio.sleep(60)
        assert (await node_names(made))["second"] == ""
        finished = {"status": {"phase": "Succeeded"}}
        await made.node_side.patch(PODS, "first", "default", finished, subresource="status")
        assert (await bound(made, "second")).spec.node_name == "node-1"


@virtual
async def test_taints_labels_and_cordons_are_followed() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, node("node-1", taints=(Taint(key="a", effect="NoSchedule"),)))
        await made.make(PODS, pod("p"))
        await asyncio.sleep(1)
        waiting = await made.client.get(PODS, "p", "default")
        assert condition(waiting)[2] == "0/1 nodes are available: 1 node(s) had untolerated taint {a: }."
        await change_node(made, "node-1", taints=None, unschedulable=True)
        await asyncio.sleep(1)
        assert (await node_names(made))["p"] == ""
        await change_node(made, "node-1", unschedulable=None)
        await bound(made, "p")
        await made.make(PODS, pod("picky", spec={"node_selector": {"disk": "ssd"}}))
        await asyncio.sleep(1)
        await made.client.patch(NODES, "node-1", "", {"metadata": {"labels": {"disk": "ssd"}}})
        await bound(made, "picky")


@virtual
async def test_a_burst_fills_nodes_to_the_brim_and_never_over() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, *(node(f"node-{number}", cpu="2") for number in range(5)))
        await made.make(PODS, *(pod(f"p{number}", cpu="500m") for number in range(30)))
        await asyncio.sleep(5)
        placed = await node_names(made)
        per_node = {name: list(placed.values()).count(name) for name in set(placed.values())}
        assert per_node.pop("") == 10
        assert set(per_node.values()) == {4}


@virtual
async def test_a_gated_pod_and_another_schedulers_pod_wait_without_a_word() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, small())
        await made.make(PODS, pod("gated", spec={"scheduling_gates": (PodSchedulingGate(name="wait"),)}))
        await made.make(PODS, pod("foreign", spec={"scheduler_name": "other"}))
        await asyncio.sleep(10)
        assert await node_names(made) == {"gated": "", "foreign": ""}
        gated = await made.client.get(PODS, "gated", "default")
        await made.client.update(PODS, replace(gated, spec=replace(gated.spec, scheduling_gates=None)))
        assert (await bound(made, "gated")).spec.node_name == "node-1"


@virtual
async def test_a_pod_that_another_bound_first_is_left_there() -> None:
    async with world() as made:
        await made.make(NODES, small("node-1"), small("node-2"))
        await made.make(PODS, pod("p", cpu="800m"))
        binding = {"target": {"kind": "Node", "name": "node-2"}}
        made.start_scheduler()
        await made.client.create_subresource(PODS, "p", "default", "binding", binding)
        await asyncio.sleep(1)
        await made.make(PODS, pod("q", cpu="800m"))
        await bound(made, "q")
        assert await node_names(made) == {"p": "node-2", "q": "node-1"}


@virtual
async def test_a_restarted_scheduler_counts_what_is_bound_already() -> None:
    async with world("scheduler") as made:
        await made.make(NODES, small("node-1"), small("node-2"))
        await made.make(PODS, pod("p", cpu="800m"))
        first = (await bound(made, "p")).spec.node_name
        made.start_scheduler()
        await made.make(PODS, pod("q", cpu="800m"))
        assert (await bound(made, "q")).spec.node_name != first


@virtual
async def test_more_important_pods_go_first() -> None:
    async with world() as made:
        await made.make(NODES, small())
        await made.make(
            PODS, pod("low", cpu="800m"), pod("high", cpu="800m", spec={"priority_class_name": "system-node-critical"})
        )
        made.start_scheduler()
        await asyncio.sleep(5)
        assert await node_names(made) == {"low": "", "high": "node-1"}


class Unanswering(FlakyClient):
    """Bindings happen, but their answers are lost; watches lag behind by `LAG_S`."""

    async def create_subresource(
        self, kind: Kind[Any], name: str, namespace: str, subresource: str, body: Mapping[str, Any]
    ) -> None:
        await super().create_subresource(kind, name, namespace, subresource, body)
        raise ServiceUnavailable("the answer was lost")

    async def _delay(self) -> None:
        await asyncio.sleep(LAG_S)


@virtual
async def test_a_binding_without_an_answer_still_takes_its_place() -> None:
    """1. Two pods, room for one. 2. The first is bound, but the scheduler is not told and its cache lags. 3. The
    second must not take the same place meanwhile."""
    async with world() as made:
        await made.make(NODES, small())
        await made.make(PODS, pod("first", cpu="800m"), pod("second", cpu="800m"))
        client = Unanswering(made.as_user("system:kube-scheduler"), Faults(), made.ids)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(Scheduler(client, made.clock, made.ids).run())
            await asyncio.sleep(30)
            task.cancel()
        assert await node_names(made) == {"first": "node-1", "second": ""}
