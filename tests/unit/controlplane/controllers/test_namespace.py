"""The end of a namespace: everything in it goes, and what is in the way is named."""

import asyncio

from msgspec.structs import replace

from controlplane.controllers.actions import Delete, FinalizeNamespace
from controlplane.controllers.namespace import reconcile
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, PODS, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace, NamespaceSpec
from tests.builders import NOW, deleting, deployment, meta, pod
from tests.sim.virtual_loop import virtual
from tests.world import world

TEAM = Namespace(metadata=meta("team", namespace=""), spec=NamespaceSpec(finalizers=("kubernetes",)))
KINDS = (PODS, CONFIGMAPS)


def test_a_living_namespace_is_left_alone() -> None:
    assert reconcile(TEAM, KINDS, {}, NOW).actions == ()


def test_everything_in_it_is_deleted_once() -> None:
    contents = {"pods": [pod("a"), deleting(pod("b"))], "configmaps": [ConfigMap(metadata=meta("c"))]}
    decision = reconcile(deleting(TEAM), KINDS, contents, NOW)
    assert [action.name for action in decision.actions if isinstance(action, Delete)] == ["a", "c"]


def test_what_is_in_the_way_is_named() -> None:
    held = pod("a", finalizers=("example.com/hold",))
    decision = reconcile(deleting(TEAM), KINDS, {"pods": [held], "configmaps": []}, NOW)
    assert isinstance(decision.status, Namespace)
    found = {each.type: (each.status, each.message) for each in decision.status.status.conditions or ()}
    assert found["NamespaceContentRemaining"] == (
        "True", "Some resources are remaining: pods has 1 resource instances",
    )  # fmt: skip
    assert found["NamespaceFinalizersRemaining"] == (
        "True",
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    )
    assert reconcile(decision.status, KINDS, {"pods": [held]}, NOW).status is None


def test_an_empty_namespace_loses_its_finalizer_and_keeps_others() -> None:
    spec = NamespaceSpec(finalizers=("example.com/mine", "kubernetes"))
    (finalize,) = reconcile(deleting(replace(TEAM, spec=spec)), KINDS, {"pods": []}, NOW).actions
    assert isinstance(finalize, FinalizeNamespace)
    assert finalize.namespace.spec.finalizers == ("example.com/mine",)
    assert finalize.kinds == KINDS


@virtual
async def test_a_namespace_goes_with_all_its_content() -> None:
    async with world("controllers") as made:
        await made.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
        await asyncio.sleep(1)
        assert await made.names(SERVICEACCOUNTS, "team") == ["default"]
        await made.make(DEPLOYMENTS, deployment("web", namespace="team", replicas=3))
        await asyncio.sleep(1)
        assert len(await made.names(PODS, "team")) == 3
        await made.client.delete(NAMESPACES, "team")
        await made.until_gone(NAMESPACES, "team")
        assert await made.names(PODS, "team") == await made.names(DEPLOYMENTS, "team") == []
        assert await made.exists(NAMESPACES, "default")


@virtual
async def test_a_held_object_keeps_its_namespace_and_the_condition_says_which() -> None:
    async with world("controllers") as made:
        await made.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
        await made.make(CONFIGMAPS, ConfigMap(metadata=meta("c", namespace="team", finalizers=("example.com/hold",))))
        await made.client.delete(NAMESPACES, "team")
        await asyncio.sleep(10)
        held = await made.client.get(NAMESPACES, "team")
        assert any("example.com/hold" in (each.message or "") for each in held.status.conditions or ())
        await made.client.patch(CONFIGMAPS, "c", "team", {"metadata": {"finalizers": None}})
        await made.until_gone(NAMESPACES, "team")
