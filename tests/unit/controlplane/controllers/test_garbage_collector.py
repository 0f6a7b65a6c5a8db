"""Owner references: the pure decisions, and the three propagation policies on a real registry."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import Delete, Patch, Reference
from controlplane.controllers.garbage_collector import Item, Owner, OwnerState, reconcile
from orch.api.codec import StructCodec
from orch.api.configmap import ConfigMap
from orch.api.kind import Kind
from orch.api.kinds import CONFIGMAPS, DEPLOYMENTS, PODS, REPLICASETS
from orch.api.meta import DeleteOptions, Object, OwnerReference
from orch.api.metadata import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from tests.builders import deleting, deployment, meta, pod, replica_set
from tests.sim.virtual_loop import virtual
from tests.world import World, world

ADDRESS = Reference(REPLICASETS, "default", "rs", "rs-uid")


def owner(state: OwnerState, uid: str = "rs-uid") -> Owner:
    return Owner(OwnerReference(uid=uid, name="rs"), state, ADDRESS if state is OwnerState.ABSENT else None)


def item(obj: Object, kind: Kind[Any] = PODS) -> Item:
    return Item(kind, obj)


SOLID, WAITING, ABSENT = (owner(state) for state in (OwnerState.SOLID, OwnerState.WAITING, OwnerState.ABSENT))


def test_an_object_whose_owners_are_gone_is_collected_after_a_fresh_look() -> None:
    subject = pod("p")
    (delete,) = reconcile(item(subject), [ABSENT], []).actions
    assert isinstance(delete, Delete)
    assert (delete.absent, delete.resource_version) == ((ADDRESS,), subject.metadata.resource_version)
    assert delete.propagation == "Background"


@pytest.mark.parametrize(
    "owners",
    [pytest.param([], id="none"), pytest.param([SOLID], id="alive"), pytest.param([SOLID, SOLID], id="both alive")],
)
def test_an_object_with_all_its_owners_stays(owners: list[Owner]) -> None:
    assert reconcile(item(pod("p")), owners, []).actions == ()


def test_an_absent_owner_beside_a_living_one_is_only_forgotten() -> None:
    gone = Owner(OwnerReference(uid="gone-uid"), OwnerState.ABSENT, ADDRESS)
    (patch,) = reconcile(item(pod("p")), [SOLID, gone], []).actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["ownerReferences"] == [{"$patch": "delete", "uid": "gone-uid"}]


@pytest.mark.parametrize(
    ("dependents", "finalizers", "policy"),
    [
        pytest.param([], None, "Background", id="a leaf"),
        pytest.param([item(pod("child"))], None, "Foreground", id="with dependents"),
        pytest.param([item(pod("child"))], (ORPHAN_FINALIZER,), "Orphan", id="its own finalizer wins"),
    ],
)
def test_a_waiting_owner_takes_its_dependents_along(
    dependents: list[Item], finalizers: tuple[str, ...] | None, policy: str
) -> None:
    subject = replica_set("rs", finalizers=finalizers)
    (delete,) = reconcile(item(subject, REPLICASETS), [WAITING], dependents).actions
    assert isinstance(delete, Delete)
    assert delete.propagation == policy


def test_a_foreground_deletion_waits_for_blocking_dependents_only() -> None:
    subject = deleting(replica_set("rs", finalizers=(FOREGROUND_FINALIZER,)))
    blocking = item(pod("child", owner=subject))
    assert reconcile(item(subject, REPLICASETS), [], [blocking]).actions == ()
    reference = replace((blocking.obj.metadata.owner_references or ())[0], block_owner_deletion=False)
    lax = replace(blocking.obj, metadata=replace(blocking.obj.metadata, owner_references=(reference,)))
    (free,) = reconcile(item(subject, REPLICASETS), [], [item(lax)]).actions
    assert isinstance(free, Patch)
    assert free.patch["metadata"]["$deleteFromPrimitiveList/finalizers"] == [FOREGROUND_FINALIZER]


def test_an_orphaning_owner_gives_up_its_dependents_first() -> None:
    subject = deleting(replica_set("rs", finalizers=(ORPHAN_FINALIZER,)))
    (release,) = reconcile(item(subject, REPLICASETS), [], [item(pod("child", owner=subject))]).actions
    assert isinstance(release, Patch)
    assert release.name == "child"
    (free,) = reconcile(item(subject, REPLICASETS), [], []).actions
    assert isinstance(free, Patch)
    assert free.name == "rs"


def test_what_is_being_deleted_already_is_left_alone() -> None:
    assert reconcile(item(deleting(pod("p"))), [ABSENT], []).actions == ()


async def family(made: World) -> None:
    """A Deployment, its ReplicaSet and its pods."""
    await made.make(DEPLOYMENTS, deployment("web", replicas=2))
    await asyncio.sleep(1)
    assert len(await made.names(PODS)) == 2


@virtual
async def test_background_the_owner_goes_first_then_the_rest() -> None:
    async with world("controllers") as made:
        await family(made)
        await made.client.delete(DEPLOYMENTS, "web", "default")
        assert not await made.exists(DEPLOYMENTS, "web", "default")
        await asyncio.sleep(1)
        assert await made.names(REPLICASETS) == await made.names(PODS) == []


@virtual
async def test_foreground_the_owner_goes_last() -> None:
    async with world("controllers") as made:
        await family(made)
        (first, _) = await made.names(PODS)
        await made.client.patch(PODS, first, "default", {"metadata": {"finalizers": ["example.com/hold"]}})
        options = DeleteOptions(propagation_policy="Foreground")
        await made.client.delete(DEPLOYMENTS, "web", "default", options=options)
        await asyncio.sleep(5)
        assert await made.names(PODS) == [first]
        assert await made.exists(DEPLOYMENTS, "web", "default")
        await made.client.patch(PODS, first, "default", {"metadata": {"finalizers": None}})
        await made.until_gone(DEPLOYMENTS, "web", "default")
        assert await made.names(REPLICASETS) == await made.names(PODS) == []


@virtual
async def test_orphan_the_dependents_stay_and_are_adopted_by_the_next_owner() -> None:
    async with world("controllers") as made:
        await family(made)
        (set_name,) = await made.names(REPLICASETS)
        pods = sorted(await made.names(PODS))
        options = DeleteOptions(propagation_policy="Orphan")
        await made.client.delete(DEPLOYMENTS, "web", "default", options=options)
        await made.until_gone(DEPLOYMENTS, "web", "default")
        await asyncio.sleep(5)
        orphan = await made.client.get(REPLICASETS, set_name, "default")
        assert not orphan.metadata.owner_references
        assert sorted(await made.names(PODS)) == pods
        await made.make(DEPLOYMENTS, deployment("web", replicas=2))
        await asyncio.sleep(2)
        assert await made.names(REPLICASETS) == [set_name]
        assert sorted(await made.names(PODS)) == pods


@virtual
async def test_a_kind_registered_at_run_time_is_collected_like_any_other() -> None:
    async with world("controllers") as made:
        await asyncio.sleep(1)
        gadgets = Kind(
            group="example.com", version="v1", kind="Gadget", plural="gadgets", codec=StructCodec(Gadget)
        )  # fmt: skip
        made.kinds.register(gadgets)
        await made.make(CONFIGMAPS, ConfigMap(metadata=meta("parent")))
        parent = await made.client.get(CONFIGMAPS, "parent", "default")
        reference = OwnerReference(api_version="v1", kind="ConfigMap", name="parent", uid=parent.metadata.uid)
        await made.make(gadgets, Gadget(metadata=meta("child", owner_references=(reference,))))
        stray = replace(reference, uid="another-uid")
        await made.make(gadgets, Gadget(metadata=meta("stray", owner_references=(stray,))))
        await asyncio.sleep(1)
        assert await made.names(gadgets) == ["child"]
        await made.client.delete(CONFIGMAPS, "parent", "default")
        await made.until_gone(gadgets, "child", "default")


class Gadget(Object):
    """A kind that the project does not know."""

    api_version: str = "example.com/v1"
    kind: str = "Gadget"


@virtual
async def test_an_owner_of_an_unknown_kind_is_nobodys_end() -> None:
    async with world("controllers") as made:
        reference = OwnerReference(api_version="example.com/v1", kind="Widget", name="w", uid="w-uid")
        await made.make(CONFIGMAPS, ConfigMap(metadata=meta("child", owner_references=(reference,))))
        await asyncio.sleep(5)
        assert "child" in await made.names(CONFIGMAPS)
