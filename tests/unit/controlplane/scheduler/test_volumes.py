"""Pods with persistent volumes: where they may go, what is written of their claims, and the whole way to bound."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.scheduler.claim_binder import BINDING_TIMEOUT_S
from controlplane.scheduler.cycle import schedule
from controlplane.scheduler.demand import pod_info
from controlplane.scheduler.interface import Placement
from controlplane.scheduler.plugins import FILTERS, SCORES
from controlplane.scheduler.plugins.volume_binding import Reserve, SelectNode, choices
from controlplane.scheduler.snapshot import Snapshot
from orch.api.kinds import EVENTS, NODES, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, STORAGECLASSES
from orch.api.meta import DeleteOptions
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.spec import Pod
from orch.api.pod.volume import EphemeralVolumeSource, PersistentVolumeClaimTemplate, Volume
from orch.api.storageclass import TopologySelectorLabelRequirement, TopologySelectorTerm
from orch.api.volume_binding import NO_PROVISIONER, SELECTED_NODE, node_of
from tests.builders import node, owned_by, pod
from tests.sim.virtual_loop import virtual
from tests.storage import bound_claim, claim, pod_with, storage_class, volume
from tests.world import World, world

NODES_MADE = (node("a", labels={"zone": "one"}), node("b", labels={"zone": "two"}))
STATIC = storage_class(provisioner=NO_PROVISIONER)
NONE_TO_BIND = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."


def snapshot_with(*objects: Any, pods: tuple[Pod, ...] = ()) -> Snapshot:
    snapshot = Snapshot()
    puts = {
        "StorageClass": snapshot.storage.put_class,
        "PersistentVolume": snapshot.storage.put_volume,
        "PersistentVolumeClaim": snapshot.storage.put_claim,
    }
    for each in NODES_MADE:
        snapshot.put_node(each)
    for obj in objects:
        puts[obj.kind](None, obj)
    for each in pods:
        snapshot.put_pod(pod_info(each), each.spec.node_name or "")
    return snapshot


def decide(snapshot: Snapshot, wanted: Pod) -> set[str]:
    """The nodes that it may go to, or the one message that says why to none."""
    verdicts = [schedule(pod_info(wanted), snapshot, FILTERS, SCORES, tie) for tie in (0.0, 0.99)]
    return {each.node if isinstance(each, Placement) else each.message for each in verdicts}


def ephemeral(name: str) -> Pod:
    made = pod(name)
    source = EphemeralVolumeSource(volume_claim_template=PersistentVolumeClaimTemplate(spec=claim().spec))
    return replace(made, spec=replace(made.spec, volumes=(Volume(name="v", ephemeral=source),)))


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ((), {'0/2 nodes are available: persistentvolumeclaim "data" not found.'}),
        ((storage_class(), claim()), {"a", "b"}),
        ((storage_class(), claim(annotations={SELECTED_NODE: "b"})), {"b"}),
        ((claim(),), {"0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."}),
        ((bound_claim(), volume(host="b")), {"b"}),
        ((bound_claim(), volume(host="x")), {"0/2 nodes are available: 2 node(s) had volume node affinity conflict."}),
        ((bound_claim(), volume()), {"a", "b"}),
        (
            (bound_claim(),),
            {"0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."},
        ),
        ((STATIC, claim()), {NONE_TO_BIND}),
        ((STATIC, claim(), volume(host="a")), {"a"}),
        ((STATIC, claim(size="2Gi"), volume(host="a")), {NONE_TO_BIND}),
    ],
    ids=[
        "no claim", "can be made anywhere", "node was chosen", "no class that waits", "volume is there",
        "volume is nowhere", "volume is everywhere", "volume is gone", "no static volume", "static volume", "too small",
    ],
)  # fmt: skip
def test_a_pod_goes_where_its_volume_is_or_can_be(objects: tuple[Any, ...], expected: set[str]) -> None:
    assert decide(snapshot_with(*objects), pod_with("data")) == expected


def test_a_class_may_be_for_some_nodes_only() -> None:
    zone = TopologySelectorLabelRequirement(key="zone", values=("two",))
    topologies = (TopologySelectorTerm(match_label_expressions=(zone,)),)
    snapshot = snapshot_with(storage_class(allowed_topologies=topologies), claim())
    assert decide(snapshot, pod_with("data")) == {"b"}


def test_a_claim_for_one_pod_is_not_shared() -> None:
    alone = bound_claim(modes=("ReadWriteOncePod",))
    snapshot = snapshot_with(alone, volume(host="a"), pods=(pod_with("data", name="first", node="a"),))
    (message,) = decide(snapshot, pod_with("data", name="second"))
    assert "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode" in message
    snapshot.remove_pod("first-uid")
    assert decide(snapshot, pod_with("data", name="second")) == {"a"}


def test_an_ephemeral_volume_waits_for_its_own_claim() -> None:
    wanted = ephemeral("web")
    waits = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "web-v"'
    assert decide(snapshot_with(storage_class()), wanted) == {f"0/2 nodes are available: {waits}."}
    (message,) = decide(snapshot_with(storage_class(), claim("web-v")), wanted)
    assert 'PVC "web-v" was not created for pod "web"' in message
    own = claim("web-v", owner_references=owned_by(wanted))
    assert decide(snapshot_with(storage_class(), own), wanted) == {"a", "b"}


def test_choices_reserve_what_is_there_and_have_made_what_is_not() -> None:
    info = pod_info(pod_with("data", "more"))
    snapshot = snapshot_with(storage_class(), claim(), claim("more"), volume(host="a"))
    here = choices(info, snapshot.storage, NODES_MADE[0])
    assert [type(choice) for choice in here] == [Reserve, SelectNode]
    elsewhere = choices(info, snapshot.storage, NODES_MADE[1])
    assert [(type(choice), choice.claim.metadata.name) for choice in elsewhere] == [
        (SelectNode, "data"), (SelectNode, "more"),
    ]  # fmt: skip


async def bound(made: World, name: str) -> Pod:
    return await made.until(PODS, name, "default", lambda each: bool(each.spec.node_name))


async def is_bound(made: World, name: str) -> PersistentVolumeClaim:
    return await made.until(PERSISTENTVOLUMECLAIMS, name, "default", lambda each: each.status.phase == "Bound")


@virtual
async def test_a_claim_is_provisioned_on_the_node_of_its_first_pod_and_keeps_later_pods_there() -> None:
    async with world("scheduler", "controllers") as made:
        assert (await made.client.get(STORAGECLASSES, "local")).provisioner == "orch.dev/local"
        await made.make(NODES, *NODES_MADE)
        await made.make(PERSISTENTVOLUMECLAIMS, claim(storage_class=None))
        await made.make(PODS, pod_with("data", name="first"))
        first = await bound(made, "first")
        held = await is_bound(made, "data")
        assert held.metadata.annotations is not None
        assert held.metadata.annotations[SELECTED_NODE] == first.spec.node_name
        made_volume = await made.client.get(PERSISTENTVOLUMES, held.spec.volume_name or "")
        assert (node_of(made_volume), made_volume.status.phase) == (first.spec.node_name, "Bound")
        await made.make(PODS, *(pod_with("data", name=f"later-{number}") for number in range(4)))
        assert {(await bound(made, f"later-{n}")).spec.node_name for n in range(4)} == {first.spec.node_name}


@virtual
async def test_a_deleted_claim_takes_its_volume_along_once_the_node_confirms() -> None:
    async with world("scheduler", "controllers") as made:
        await made.make(NODES, *NODES_MADE)
        await made.make(PERSISTENTVOLUMECLAIMS, claim(storage_class=None))
        await made.make(PODS, pod_with("data", name="user"))
        await bound(made, "user")
        name = (await is_bound(made, "data")).spec.volume_name or ""
        await made.client.delete(PERSISTENTVOLUMECLAIMS, "data", "default")
        await made.until(
            PERSISTENTVOLUMECLAIMS, "data", "default", lambda each: each.metadata.deletion_timestamp is not None
        )
        await made.node_side.delete(PODS, "user", "default", options=DeleteOptions(grace_period_seconds=0))
        await made.until_gone(PERSISTENTVOLUMECLAIMS, "data", "default")
        doomed = await made.until(
            PERSISTENTVOLUMES, name, "", lambda each: each.metadata.finalizers == ("orch.dev/local-volume",)
        )
        assert doomed.metadata.deletion_timestamp is not None


@virtual
async def test_a_pod_whose_claim_nobody_provisions_says_so_and_waits() -> None:
    async with world("scheduler", "controllers") as made:
        await made.make(STORAGECLASSES, storage_class("slow", provisioner="example.com/none"))
        await made.make(NODES, *NODES_MADE)
        await made.make(PERSISTENTVOLUMECLAIMS, claim(storage_class="slow"))
        await made.make(PODS, pod_with("data", name="p"))

        async def told() -> set[str]:
            return {e.message or "" for e in (await made.client.list(EVENTS)).items if e.involved_object.name == "p"}

        await asyncio.sleep(BINDING_TIMEOUT_S + 2)
        assert any("binding volumes: data not bound" in message for message in await told())
        assert not (await made.client.get(PODS, "p", "default")).spec.node_name


@virtual
async def test_an_ephemeral_volume_gets_a_claim_that_goes_with_its_pod() -> None:
    async with world("scheduler", "controllers") as made:
        await made.make(NODES, *NODES_MADE)
        await made.make(PODS, ephemeral("web"))
        await bound(made, "web")
        assert (await is_bound(made, "web-v")).metadata.owner_references is not None
        await made.node_side.delete(PODS, "web", "default", options=DeleteOptions(grace_period_seconds=0))
        await made.until_gone(PERSISTENTVOLUMECLAIMS, "web-v", "default")
