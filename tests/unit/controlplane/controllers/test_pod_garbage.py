"""Pods of nodes that are gone, and too many finished pods."""

from msgspec.structs import replace

from controlplane.controllers.actions import Delete
from controlplane.controllers.pod_garbage import reconcile, reconcile_finished
from orch.api.kinds import NODES, PODS
from orch.api.meta import ObjectMeta
from tests.builders import ago, node, pod, running_pod
from tests.sim.virtual_loop import virtual
from tests.world import World, world


def test_a_pod_of_an_absent_node_goes_after_a_fresh_look() -> None:
    (delete,) = reconcile(running_pod("p", node="gone"), node_exists=False).actions
    assert isinstance(delete, Delete)
    assert delete.grace_period_s == 0
    assert [(reference.kind.kind, reference.name) for reference in delete.absent] == [("Node", "gone")]
    assert reconcile(running_pod("p"), node_exists=True).actions == ()
    assert reconcile(pod("p"), node_exists=False).actions == ()


def test_the_oldest_finished_pods_beyond_the_bound_go() -> None:
    finished = [pod(f"p{age}", phase="Succeeded", creation_timestamp=ago(age)) for age in (10, 40, 20, 30)]
    names = [action.name for action in reconcile_finished(finished, bound=2).actions if isinstance(action, Delete)]
    assert names == ["p40", "p30"]
    assert reconcile_finished(finished, bound=4).actions == ()


@virtual
async def test_pods_go_with_their_node_object() -> None:
    async with world("controllers", "scheduler") as made:
        await made.make(NODES, node("node-1"))
        await ready(made)
        await made.make(PODS, pod("p"))
        await made.until(PODS, "p", "default", lambda each: each.spec.node_name == "node-1")
        await made.client.delete(NODES, "node-1")
        await made.until_gone(PODS, "p", "default")


async def ready(made: World) -> None:
    """A node without a session is tainted when it appears; this one says that it is ready."""
    found = await made.client.get(NODES, "node-1")
    assert found.metadata != ObjectMeta()
    await made.node_side.update(NODES, replace(found, status=node("node-1").status), subresource="status")
