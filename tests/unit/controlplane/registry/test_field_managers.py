"""managedFields through the whole API: kinds without types, the server's own components, what a creation records."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry import field_managers
from controlplane.registry.field_managers import Application
from controlplane.registry.interface import User, WriteOptions
from orch.api.configmap import ConfigMap
from orch.api.kinds import (
    CONFIGMAPS,
    HORIZONTALPODAUTOSCALERS,
    HORIZONTALPODAUTOSCALERS_V1,
    PODS,
    builtin_kinds,
    untyped_kind,
)
from orch.api.meta import ObjectMeta
from orch.client.client import PatchType
from orch.errors import Conflict
from orch.managed import sets
from orch.managed.compare import compare_objects
from orch.managed.new_fields import empty, new_fields
from orch.managed.schema import tracked
from tests.builders import NOW
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import NODEPLANE, World, new_pod, world

KINDS = builtin_kinds()
WIDGETS = untyped_kind("example.com", "v1", "Widget", "widgets", subresources=frozenset({"status"}))


def owners(obj: Any) -> dict[str, list[str]]:
    return {e.manager: list(sets.shown(sets.decode(e.fields_v1))) for e in obj.metadata.managed_fields or ()}


def widget(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, **more}


async def apply(w: World, config: Any, manager: str, *, force: bool = False) -> Any:
    options = WriteOptions(field_manager=manager, force=force)
    return (await w.parts.api.apply(w.context(), WIDGETS, "default", "w", config, options)).stored.obj


@virtual
async def test_maps_of_untyped_kinds_merge_and_lists_are_replaced() -> None:
    async with world() as w:
        w.kinds.register(WIDGETS)
        await apply(w, widget(spec={"size": {"x": 1}, "tags": ["a"]}), "one")
        both = await apply(w, widget(spec={"size": {"y": 2}}), "two")
        assert both.content["spec"] == {"size": {"x": 1, "y": 2}, "tags": ["a"]}
        assert owners(both)["one"] == [".spec", ".spec.size", ".spec.size.x", ".spec.tags"]
        with pytest.raises(Conflict, match=r'conflict with "one": \.spec\.tags$'):
            await apply(w, widget(spec={"tags": ["b"]}), "two")
        taken = await apply(w, widget(spec={"tags": ["b"]}), "two", force=True)
        assert taken.content["spec"] == {"size": {"x": 1}, "tags": ["b"]}
        less = await apply(w, widget(), "one")
        assert less.content["spec"] == {"tags": ["b"]}


@virtual
async def test_updates_of_untyped_kinds_are_recorded() -> None:
    async with world() as w:
        w.kinds.register(WIDGETS)
        new = widget(metadata={"name": "w", "namespace": "default", "labels": {"x": "y"}})
        await w.admin.create(WIDGETS, WIDGETS.codec.from_plain(new))
        patch = {"spec": {"a": {"b": 1}}, "status": {"c": 1}}
        patched = await w.client(User("x:y:lab", ("system:masters",))).patch(WIDGETS, "w", "default", patch)
        assert owners(patched) == {
            "admin": [".metadata.labels", ".metadata.labels.x"],
            "lab": [".spec", ".spec.a", ".spec.a.b"],
        }


@virtual
async def test_components_own_what_they_write_but_not_status() -> None:
    async with world() as w:
        client = w.client(NODEPLANE)
        await client.create(PODS, new_pod("web"))
        await client.patch(PODS, "web", "default", {"status": {"phase": "Running"}}, subresource="status")
        pod = await client.patch(PODS, "web", "default", {"metadata": {"labels": {"a": "b"}}})
        assert [(e.manager, e.subresource) for e in pod.metadata.managed_fields or ()] == [("orch-nodeplane", None)]
        assert ".metadata.labels.a" in owners(pod)["orch-nodeplane"]


@virtual
async def test_a_component_takes_the_status_that_a_client_wrote() -> None:
    async with world() as w:
        await w.admin.create(PODS, new_pod("web"))
        status, options = {"status": {"message": "x", "reason": "y"}}, WriteOptions(field_manager="kubectl-edit")
        await w.parts.api.patch(
            w.context(), PODS, "default", "web", status, PatchType.MERGE, options, subresource="status"
        )
        change = {"status": {"message": "z"}}
        pod = await w.client(NODEPLANE).patch(PODS, "web", "default", change, subresource="status")
        assert owners(pod)["kubectl-edit"] == [".status.reason"]


@virtual
async def test_what_the_server_decides_belongs_to_nobody() -> None:
    async with world() as w:
        pod = await w.admin.create(PODS, new_pod("web"))
        assert pod.spec.tolerations
        assert not [path for path in owners(pod)["admin"] if "tolerations" in path or path.startswith(".status")]


def test_a_new_pod_is_compared_with_nothing() -> None:
    pod = PODS.set_defaults(new_pod("web"))
    assert sets.decode(new_fields(pod, tracked(PODS))) == compare_objects(empty(type(pod)), pod, tracked(PODS)).changed


def test_large_and_empty_parts_of_new_objects() -> None:
    big = ConfigMap(metadata=ObjectMeta(name="x"), data={"a": "v" * 20_000})
    assert bytes(new_fields(big, tracked(CONFIGMAPS))) == b'{"f:data":{".":{},"f:a":{}}}'
    assert bytes(new_fields(ConfigMap(metadata=ObjectMeta(name="x")), tracked(CONFIGMAPS))) == b""


def test_an_apply_that_says_the_same_keeps_the_time() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}
    first = field_managers.applied(CONFIGMAPS, None, Application(config, "me"), NOW, kinds=KINDS)
    assert (
        field_managers.applied(CONFIGMAPS, first, Application(config, "me"), NOW + timedelta(hours=1), kinds=KINDS)
        == first
    )


def test_client_side_apply_is_taken_over_by_kubectl_alone() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}
    last = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","b":"1"}}'
    annotations = {field_managers.LAST_APPLIED: last}
    old = ConfigMap(metadata=ObjectMeta(name="x", annotations=annotations), data={"a": "1", "b": "2"})
    old = field_managers.created(CONFIGMAPS, old, "kubectl-client-side-apply", NOW)
    wanted = {**config, "data": {"a": "2", "b": "3"}}
    for manager, refused in (("kubectl", [".data.b"]), ("other", [".data.a", ".data.b"])):
        with pytest.raises(Conflict) as caught:
            field_managers.applied(CONFIGMAPS, old, Application(wanted, manager), NOW, kinds=KINDS)
        assert [cause.field for cause in caught.value.causes] == refused
    new = field_managers.applied(
        CONFIGMAPS, old, Application({**config, "data": {"a": "2"}}, "kubectl"), NOW, kinds=KINDS
    )
    assert new.data == {"a": "2", "b": "2"}
    assert '"a":"2"' in (new.metadata.annotations or {})[field_managers.LAST_APPLIED]


def test_managed_fields_of_a_client_are_kept_when_they_are_sound() -> None:
    entry = replace(
        field_managers.entry_of("old", "Update", "v1"), fields_v1=sets.encode({"f:data": {"f:z": {}}}), time=NOW
    )
    sent = ConfigMap(metadata=ObjectMeta(name="x", managed_fields=(entry,)), data={"a": "1"})
    assert owners(field_managers.created(CONFIGMAPS, sent, "me", NOW)) == {
        "me": [".data", ".data.a"],
        "old": [".data.z"],
    }
    broken = replace(sent, metadata=replace(sent.metadata, managed_fields=(replace(entry, operation="x"),)))
    assert owners(field_managers.created(CONFIGMAPS, broken, "me", NOW)) == {"me": [".data", ".data.a"]}


def autoscaler(version: str, **spec: Any) -> dict[str, Any]:
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}, **spec}
    kind = {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler"}
    return {**kind, "metadata": {"name": "x"}, "spec": spec}


@virtual
async def test_managers_of_two_forms_of_one_object_meet() -> None:
    async with world() as w:

        async def apply_as(kind: Any, config: Any, manager: str, *, force: bool = False) -> Any:
            options = WriteOptions(field_manager=manager, force=force)
            return (await w.parts.api.apply(w.context(), kind, "default", "x", config, options)).stored.obj

        cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
        cpu["resource"]["target"]["averageUtilization"] = 50  # type: ignore[index]
        await apply_as(HORIZONTALPODAUTOSCALERS, autoscaler("v2", metrics=[cpu]), "new")
        older = autoscaler("v1", targetCPUUtilizationPercentage=80)
        with pytest.raises(Conflict) as caught:
            await apply_as(HORIZONTALPODAUTOSCALERS_V1, older, "old")
        assert [cause.field for cause in caught.value.causes] == [".spec.metrics"]
        forced = owners(await apply_as(HORIZONTALPODAUTOSCALERS_V1, older, "old", force=True))
        assert ".spec.metrics" not in forced["new"]
        assert ".spec.targetCPUUtilizationPercentage" in forced["old"]

        patch = {"spec": {"metrics": [cpu]}}
        patched = await w.admin.patch(HORIZONTALPODAUTOSCALERS, "x", "default", patch)
        assert ".spec.targetCPUUtilizationPercentage" not in owners(patched)["old"]


def applied_as(kind: Any, old: Any, manager: str, **spec: Any) -> Any:
    """The stored object after an apply in one of its versions."""
    present = None if old is None else kind.from_stored(old)
    application = Application(autoscaler(kind.version, **spec), manager)
    return kind.to_stored(field_managers.applied(kind, present, application, NOW, kinds=KINDS))


def target(stored: Any) -> list[int]:
    return [metric.resource.target.average_utilization for metric in stored.spec.metrics or ()]


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
V1, V2 = HORIZONTALPODAUTOSCALERS_V1, HORIZONTALPODAUTOSCALERS


def test_what_was_applied_in_one_version_goes_by_another() -> None:
    """1. in v1 with a target for the CPU 2. in v2 without: its metrics are the default again 3. and back, where the
    default is set later, on the stored object."""
    first = applied_as(V1, None, "me", targetCPUUtilizationPercentage=50)
    second = applied_as(V2, first, "me", minReplicas=2)
    third = applied_as(V2, second, "me", minReplicas=2, metrics=[CPU])
    fourth = applied_as(V1, third, "me")
    assert [target(one) for one in (first, second, third, fourth)] == [[50], [80], [50], []]
    assert [one.spec.min_replicas for one in (first, second, third, fourth)] == [None, 2, 2, None]


def test_what_others_own_in_another_version_stays() -> None:
    """`other` owns the metric by its path in v1; `me` takes it back in v2, where its path is another."""
    mine = applied_as(V2, None, "me", metrics=[CPU], minReplicas=2)
    both = applied_as(V1, mine, "other", targetCPUUtilizationPercentage=50)
    left = applied_as(V2, both, "me")
    assert (target(left), left.spec.min_replicas) == ([50], 1)
