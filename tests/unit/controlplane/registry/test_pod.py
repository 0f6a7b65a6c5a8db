from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.interface import User, WriteOptions
from orch.api.kinds import LIMITRANGES, NODES, PODS, RESOURCEQUOTAS
from orch.api.limitrange import LimitRange, LimitRangeItem, LimitRangeSpec
from orch.api.meta import DeleteOptions, ObjectMeta
from orch.api.pod.container import Container, EphemeralContainer
from orch.api.pod.qos import qos_class
from orch.api.pod.spec import Pod, PodSpec
from orch.api.resourcequota import ResourceQuota, ResourceQuotaSpec
from orch.api.shared import ResourceRequirements
from orch.client.client import PatchType
from orch.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from tests.builders import NOW
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import NODEPLANE, World, new_node, new_pod, world

AGENT = User("system:node:n1", ("system:nodes",))
AT_ONCE = DeleteOptions(grace_period_seconds=0)


async def bind(w: World, name: str = "pod", **binding: Any) -> None:
    await w.admin.create_subresource(
        PODS, name, "default", "binding", {"target": {"kind": "Node", "name": "n1"}, **binding}
    )


async def bound_pod(w: World, **fields: Any) -> Pod:
    await w.admin.create(NODES, new_node("n1"))
    await w.admin.create(PODS, new_pod(**fields))
    await bind(w)
    return await w.admin.get(PODS, "pod", "default")


async def report(w: World, phase: str) -> None:
    await w.client(NODEPLANE).patch(PODS, "pod", "default", {"status": {"phase": phase}}, subresource="status")


async def is_gone(w: World) -> bool:
    try:
        await w.admin.get(PODS, "pod", "default")
    except NotFound:
        return True
    return False


# Creation and binding


@virtual
async def test_a_new_pod_is_pending() -> None:
    async with world() as w:
        created = await w.admin.create(PODS, replace(new_pod(), status=replace(new_pod().status, phase="Running")))
        assert (created.status.phase, created.status.qos_class) == ("Pending", "BestEffort")
        assert created.metadata.generation == 1


@virtual
async def test_binding_puts_a_pod_on_a_node_once() -> None:
    async with world() as w:
        pod = await bound_pod(w)
        assert pod.spec.node_name == "n1"
        assert [(c.type, c.status, c.last_transition_time) for c in pod.status.conditions or ()] == [
            ("PodScheduled", "True", NOW)
        ]
        assert pod.metadata.generation == 1
        with pytest.raises(Conflict, match='pod pod is already assigned to node "n1"'):
            await bind(w)


@virtual
async def test_bindings_that_are_refused() -> None:
    async with world() as w:
        created = await w.admin.create(PODS, new_pod(finalizers=("example.com/keep",)))
        with pytest.raises(Invalid, match=r"target\.name"):
            await bind(w, target={"name": ""})
        with pytest.raises(Conflict, match="UID"):
            await bind(w, metadata={"uid": "other"})
        with pytest.raises(NotFound):
            await bind(w, "absent")
        with pytest.raises(NotFound):
            await w.admin.create_subresource(NODES, "n1", "", "binding", {})
        await w.admin.delete(PODS, "pod", "default")
        with pytest.raises(Conflict, match="is being deleted"):
            await bind(w, metadata={"uid": created.metadata.uid, "annotations": {"a": "b"}})


@virtual
async def test_a_binding_may_annotate() -> None:
    async with world() as w:
        await w.admin.create(PODS, new_pod(annotations={"own": "1"}))
        await bind(w, metadata={"annotations": {"scheduler": "2"}})
        pod = await w.admin.get(PODS, "pod", "default")
        assert pod.metadata.annotations == {"own": "1", "scheduler": "2"}


@virtual
async def test_the_qos_class_stays_whatever_a_status_says() -> None:
    async with world() as w:
        await bound_pod(w)
        status = {"status": {"phase": "Running", "qosClass": "Guaranteed"}}
        reported = await w.admin.patch(PODS, "pod", "default", status, subresource="status")
        assert (reported.status.phase, reported.status.qos_class) == ("Running", "BestEffort")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"example.com/gpu": "1"}}], "BestEffort"),
    ],
)
def test_qos_classes(resources: list[dict[str, dict[str, Any]]], expected: str) -> None:
    containers = tuple(
        Container(name=f"c{index}", resources=ResourceRequirements(**amounts))
        for index, amounts in enumerate(resources)
    )
    assert qos_class(PodSpec(containers=containers)) == expected


# At most once: when a pod may go


@virtual
async def test_an_unbound_pod_goes_at_once() -> None:
    async with world() as w:
        await w.admin.create(PODS, new_pod())
        await w.admin.delete(PODS, "pod", "default")
        assert await is_gone(w)


@pytest.mark.parametrize("confirmer", [AGENT, NODEPLANE])
def test_a_bound_pod_goes_when_its_node_says_that_it_stopped(confirmer: User) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            await bound_pod(w)
            deleted = await w.parts.api.delete(w.context(), PODS, "default", "pod", DeleteOptions())
            assert not deleted.done
            metadata = deleted.stored.obj.metadata
            assert metadata.deletion_grace_period_seconds == 30
            assert metadata.deletion_timestamp is not None
            assert (metadata.deletion_timestamp - NOW).total_seconds() == 30
            confirmed = await w.parts.api.delete(w.context(NODEPLANE), PODS, "default", "pod", AT_ONCE)
            assert confirmed.done
            assert await is_gone(w)

    scenario()


@virtual
async def test_nobody_else_can_remove_a_bound_pod() -> None:
    async with world() as w:
        await bound_pod(w)
        for _ in range(2):
            await w.admin.delete(PODS, "pod", "default", options=AT_ONCE)
            pod = await w.admin.get(PODS, "pod", "default")
            assert pod.metadata.deletion_grace_period_seconds == 1
        await w.admin.patch(PODS, "pod", "default", {"metadata": {"labels": {"a": "b"}}})
        assert not await is_gone(w)


@virtual
async def test_a_grace_period_can_only_shrink() -> None:
    async with world() as w:
        await bound_pod(w, spec={"termination_grace_period_seconds": 60})
        for requested, expected in ((None, 60), (20, 20), (40, 20), (5, 5)):
            await w.admin.delete(PODS, "pod", "default", options=DeleteOptions(grace_period_seconds=requested))
            metadata = (await w.admin.get(PODS, "pod", "default")).metadata
            assert metadata.deletion_grace_period_seconds == expected
            assert metadata.deletion_timestamp is not None
            assert (metadata.deletion_timestamp - NOW).total_seconds() == expected


@virtual
async def test_a_delete_that_names_no_grace_period_leaves_the_one_that_runs() -> None:
    async with world() as w:
        await bound_pod(w, spec={"termination_grace_period_seconds": 30})
        for requested, expected in ((60, 60), (None, 60), (10, 10), (None, 10)):
            await w.admin.delete(PODS, "pod", "default", options=DeleteOptions(grace_period_seconds=requested))
            metadata = (await w.admin.get(PODS, "pod", "default")).metadata
            assert metadata.deletion_grace_period_seconds == expected


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_goes_at_once(phase: str) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            await bound_pod(w)
            await report(w, phase)
            await w.admin.delete(PODS, "pod", "default")
            assert await is_gone(w)

    scenario()


@virtual
async def test_the_pods_of_a_node_that_is_gone_may_go() -> None:
    async with world() as w:
        await bound_pod(w)
        await w.admin.delete(PODS, "pod", "default")
        assert not await is_gone(w)
        await w.admin.delete(NODES, "n1")
        await w.admin.delete(PODS, "pod", "default", options=AT_ONCE)
        assert await is_gone(w)


@virtual
async def test_a_confirmed_pod_still_waits_for_its_finalizers() -> None:
    async with world() as w:
        await bound_pod(w, finalizers=("example.com/keep",))
        await w.admin.delete(PODS, "pod", "default")
        await w.client(NODEPLANE).delete(PODS, "pod", "default", options=AT_ONCE)
        assert not await is_gone(w)
        await w.admin.patch(PODS, "pod", "default", {"metadata": {"finalizers": None}})
        assert await is_gone(w)


@virtual
async def test_a_pod_without_finalizers_still_waits_for_its_node() -> None:
    async with world() as w:
        await bound_pod(w, finalizers=("example.com/keep",))
        await w.admin.delete(PODS, "pod", "default", options=AT_ONCE)
        await w.admin.patch(PODS, "pod", "default", {"metadata": {"finalizers": None}})
        assert not await is_gone(w)


# Eviction


@virtual
async def test_an_eviction_is_a_delete_with_its_options() -> None:
    async with world() as w:
        await bound_pod(w)
        eviction = {"metadata": {"name": "pod"}, "deleteOptions": {"gracePeriodSeconds": 7}}
        await w.parts.api.create_subresource(
            w.context(), PODS, "default", "pod", "eviction", eviction, WriteOptions(dry_run=True)
        )
        assert (await w.admin.get(PODS, "pod", "default")).metadata.deletion_timestamp is None
        await w.admin.create_subresource(PODS, "pod", "default", "eviction", eviction)
        assert (await w.admin.get(PODS, "pod", "default")).metadata.deletion_grace_period_seconds == 7
        with pytest.raises(BadRequest):
            await w.admin.create_subresource(PODS, "pod", "default", "eviction", {"metadata": {"name": "other"}})


@virtual
async def test_an_eviction_hands_on_every_option_of_its_delete() -> None:
    async with world() as w:
        await bound_pod(w)
        eviction = {"deleteOptions": {"orphanDependents": True}}
        await w.admin.create_subresource(PODS, "pod", "default", "eviction", eviction)
        assert (await w.admin.get(PODS, "pod", "default")).metadata.finalizers == ("orphan",)


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
@pytest.mark.parametrize("subresource", ["binding", "eviction"])
def test_unknown_fields_of_a_binding_and_an_eviction(subresource: str, validation: str) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            await w.admin.create(NODES, new_node("n1"))
            await w.admin.create(PODS, new_pod())
            warnings: list[str] = []
            body = {"target": {"name": "n1"}} if subresource == "binding" else {"metadata": {"name": "pod"}}
            context, options = w.context(warnings=warnings), WriteOptions(field_validation=validation)
            write = w.parts.api.create_subresource(
                context, PODS, "default", "pod", subresource, {**body, "surprise": 1}, options
            )
            if validation == "Strict":
                with pytest.raises(BadRequest, match='unknown field "surprise"'):
                    await write
            else:
                await write
            assert warnings == (['unknown field "surprise"'] if validation == "Warn" else [])

    scenario()


# Ephemeral containers


def debugging(*names: str, **fields: Any) -> dict[str, Any]:
    containers = [{"name": name, "image": "busybox", **fields} for name in names]
    return {"spec": {"ephemeralContainers": containers}}


async def add(w: World, patch: dict[str, Any]) -> Pod:
    return await w.admin.patch(
        PODS, "pod", "default", patch, patch_type=PatchType.STRATEGIC, subresource="ephemeralcontainers"
    )


@virtual
async def test_ephemeral_containers_are_added_through_their_subresource_alone() -> None:
    async with world() as w:
        await bound_pod(w)
        await add(w, debugging("one") | {"metadata": {"labels": {"not": "taken"}}})
        pod = await add(w, debugging("two"))
        assert sorted(c.name for c in pod.spec.ephemeral_containers or ()) == ["one", "two"]
        assert (pod.metadata.labels or {}).get("not") is None
        assert pod.metadata.generation == 3
        with pytest.raises(Invalid, match="pod updates may not change fields"):
            await w.admin.patch(PODS, "pod", "default", debugging("three"), patch_type=PatchType.STRATEGIC)


@virtual
async def test_an_ephemeral_container_that_is_there_stays_as_it_is() -> None:
    async with world() as w:
        await bound_pod(w)
        pod = await add(w, debugging("one"))
        with pytest.raises(Invalid, match='existing ephemeral containers "one" may not be changed'):
            await add(w, debugging("one", tty=True))
        emptied = replace(pod, spec=replace(pod.spec, ephemeral_containers=None))
        with pytest.raises(Invalid, match='existing ephemeral containers "one" may not be removed'):
            await w.admin.update(PODS, emptied, subresource="ephemeralcontainers")


@virtual
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"ports": [{"containerPort": 80}]}, r"ephemeralContainers\[0\].ports: Forbidden"),
        ({"resources": {"limits": {"cpu": "1"}}}, r"ephemeralContainers\[0\].resources: Forbidden"),
        ({"livenessProbe": {"exec": {"command": ["true"]}}}, r"ephemeralContainers\[0\].livenessProbe: Forbidden"),
        ({"lifecycle": {}}, r"ephemeralContainers\[0\].lifecycle: Forbidden"),
        ({"targetContainerName": "nobody"}, r"ephemeralContainers\[0\].targetContainerName: Not found"),
    ],
)
async def test_what_an_ephemeral_container_must_not_say(fields: dict[str, Any], complaint: str) -> None:
    async with world() as w:
        await bound_pod(w)
        with pytest.raises(Invalid, match=complaint):
            await add(w, debugging("one", **fields))


@virtual
async def test_no_pod_is_created_with_ephemeral_containers() -> None:
    async with world() as w:
        pod = new_pod()
        with pytest.raises(Invalid, match="cannot be set on create"):
            await w.admin.create(
                PODS, replace(pod, spec=replace(pod.spec, ephemeral_containers=(EphemeralContainer(name="e"),)))
            )


# Resize


def sized(cpu: str, limit: str | None = None, **container: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}} | ({"limits": {"cpu": limit}} if limit else {})
    return {"spec": {"containers": [{"name": "app", "resources": resources, **container}]}}


async def resize(w: World, patch: dict[str, Any]) -> Pod:
    return await w.admin.patch(PODS, "pod", "default", patch, patch_type=PatchType.STRATEGIC, subresource="resize")


async def a_sized_pod(w: World) -> Pod:
    """Bound, with a request of one CPU."""
    pod = new_pod()
    app = Container(name="app", image="a:1", resources=ResourceRequirements(requests={"cpu": "1"}))
    await w.admin.create(NODES, new_node("n1"))
    await w.admin.create(PODS, replace(pod, spec=replace(pod.spec, containers=(app,))))
    await bind(w)
    return await w.admin.get(PODS, "pod", "default")


@virtual
async def test_resources_are_changed_through_their_subresource_alone() -> None:
    async with world() as w:
        before = await a_sized_pod(w)
        pod = await resize(w, sized("2", image="b:2"))
        assert pod.spec.containers[0].resources.requests == {"cpu": "2"}
        assert pod.spec.containers[0].image == before.spec.containers[0].image
        assert pod.metadata.generation == 2
        with pytest.raises(Invalid, match="pod updates may not change fields"):
            await w.admin.patch(PODS, "pod", "default", sized("3"), patch_type=PatchType.STRATEGIC)


@virtual
async def test_a_resize_is_validated_and_bounded_by_quota_and_limit_range() -> None:
    async with world() as w:
        await a_sized_pod(w)
        with pytest.raises(Invalid, match="must be less than or equal to cpu limit"):
            await resize(w, sized("2", limit="1"))
        await w.admin.create(RESOURCEQUOTAS, ResourceQuota(
            metadata=ObjectMeta(name="q", namespace="default"), spec=ResourceQuotaSpec(hard={"requests.cpu": "3"})
        ))  # fmt: skip
        item = LimitRangeItem(type="Container", max={"cpu": "5"})
        await w.admin.create(LIMITRANGES, LimitRange(
            metadata=ObjectMeta(name="l", namespace="default"), spec=LimitRangeSpec(limits=(item,))
        ))  # fmt: skip
        with pytest.raises(Forbidden, match="maximum cpu usage per Container is 5"):
            await resize(w, sized("2", limit="6"))
        with pytest.raises(Forbidden, match="exceeded quota: q"):
            await resize(w, sized("4", limit="4"))
        assert (await resize(w, sized("3", limit="4"))).spec.containers[0].resources.limits == {"cpu": "4"}
