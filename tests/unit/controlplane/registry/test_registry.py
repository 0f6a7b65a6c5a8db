"""Create, read, update and delete through the whole chain, on a memory store in virtual time."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.interface import ListOptions, WriteOptions
from controlplane.registry.registry import OBJECT_BYTES_MAX
from controlplane.store import keys
from controlplane.store.backend import Committed, Guard, Put, Refused, StoreUnavailable
from controlplane.store.memory import MemoryBackend
from orch.api.codec import UntypedCodec, UntypedObject
from orch.api.configmap import ConfigMap
from orch.api.endpointslice import Endpoint, EndpointSlice
from orch.api.kind import Kind
from orch.api.kinds import CONFIGMAPS, DEPLOYMENTS, ENDPOINTSLICES, NAMESPACES, NODES, PODS, SERVICES
from orch.api.meta import DeleteOptions, ObjectMeta, Preconditions
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.client.client import EventType, PatchType
from orch.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    InternalError,
    Invalid,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Timeout,
)
from tests.builders import NOW, deployment
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, new_node, new_pod, take, world

FORCE = DeleteOptions(grace_period_seconds=0)


def config(name: str = "c", data: dict[str, str] | None = None, **meta: Any) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", **meta), data=data)


def new_deployment(**fields: Any) -> Any:
    return replace(deployment(**fields), metadata=ObjectMeta(name="web", namespace="default"))


# Create


@virtual
async def test_the_server_sets_its_part_of_the_metadata() -> None:
    async with world() as w:
        given = config(uid="mine", generation=7, deletion_timestamp=NOW, creation_timestamp=NOW.replace(year=1999))
        created = (await w.admin.create(CONFIGMAPS, given)).metadata
        assert created.creation_timestamp == NOW
        assert (created.generation, created.deletion_timestamp) == (None, None)
        assert created.uid not in ("", "mine")
        assert created.resource_version == str(w.parts.cache.revision)


@virtual
async def test_a_write_is_answered_when_it_can_be_read_without_asking_the_store() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config())
        assert await w.admin.get(CONFIGMAPS, "c", "default", resource_version="0") == created


@virtual
async def test_a_name_exists_once() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        with pytest.raises(AlreadyExists) as refusal:
            await w.admin.create(CONFIGMAPS, config())
        assert refusal.value.message == 'configmaps "c" already exists'


@virtual
async def test_of_creations_at_the_same_time_one_wins() -> None:
    async with world() as w:
        results = await asyncio.gather(
            *(w.admin.create(CONFIGMAPS, config(data={"n": str(n)})) for n in range(5)), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["AlreadyExists"] * 4 + ["ConfigMap"]


@virtual
async def test_names_are_generated_until_one_is_free() -> None:
    async with world() as w:
        suffixes = iter(["same1", "same1", "other"])
        w.ids.suffix = lambda length=5: next(suffixes) if length == 5 else "r" * length  # type: ignore[method-assign]
        names = [(await w.admin.create(CONFIGMAPS, config("", generate_name="web-"))).metadata.name for _ in range(2)]
        assert names == ["web-same1", "web-other"]


@virtual
async def test_a_long_prefix_of_a_generated_name_is_cut() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config("", generate_name="x" * 100))
        assert len(created.metadata.name) == 63


@virtual
async def test_what_a_create_must_not_say() -> None:
    async with world() as w:
        with pytest.raises(Invalid, match="name or generateName is required"):
            await w.admin.create(CONFIGMAPS, config(""))
        with pytest.raises(BadRequest, match="resourceVersion should not be set"):
            await w.admin.create(CONFIGMAPS, config(resource_version="5"))
        with pytest.raises(BadRequest, match="namespace"):
            await w.parts.api.create(w.context(), CONFIGMAPS, "kube-system", config(), WriteOptions())
        with pytest.raises(BadRequest, match="the request is for v1, Kind=ConfigMap"):
            await w.admin.create(CONFIGMAPS, replace(config(), kind="Secret"))


@virtual
async def test_every_cause_of_a_refusal_is_named() -> None:
    async with world() as w:
        with pytest.raises(Invalid) as refusal:
            await w.admin.create(PODS, new_pod("UPPER", spec={"containers": (), "restart_policy": "Sometimes"}))
        fields = {cause.field for cause in refusal.value.causes}
        assert {"metadata.name", "spec.containers", "spec.restartPolicy"} <= fields
        assert (await w.admin.list(PODS)).items == ()


@virtual
async def test_an_object_that_is_too_large_is_refused() -> None:
    async with world() as w:
        with pytest.raises((RequestEntityTooLarge, Invalid)):
            await w.admin.create(CONFIGMAPS, config(data={"a": "x" * OBJECT_BYTES_MAX}))


@virtual
async def test_a_dry_run_answers_and_writes_nothing() -> None:
    async with world() as w:
        before = w.parts.cache.revision
        created = await w.admin.create(CONFIGMAPS, config(), dry_run=True)
        assert created.metadata.uid
        assert created.metadata.resource_version == ""
        await w.admin.create(CONFIGMAPS, config(data={"a": "1"}))
        changed = replace(config(), data={"a": "2"})
        assert (await w.admin.update(CONFIGMAPS, changed, dry_run=True)).data == {"a": "2"}
        await w.admin.delete(CONFIGMAPS, "c", "default", options=DeleteOptions(dry_run=("All",)))
        assert (await w.admin.get(CONFIGMAPS, "c", "default")).data == {"a": "1"}
        assert w.parts.cache.revision == before + 1


@virtual
async def test_status_is_not_taken_from_a_create() -> None:
    async with world() as w:
        created = await w.admin.create(DEPLOYMENTS, new_deployment())
        assert created.status.replicas is None
        assert created.metadata.generation == 1
        created_node = await w.admin.create(NODES, new_node("node-1"))
        assert created_node.status.capacity
        assert created_node.metadata.generation is None


# Update and patch


@virtual
async def test_an_update_is_a_compare_and_swap() -> None:
    async with world() as w:
        first = await w.admin.create(CONFIGMAPS, config(data={"a": "1"}))
        second = await w.admin.update(CONFIGMAPS, replace(first, data={"a": "2"}))
        assert int(second.metadata.resource_version) > int(first.metadata.resource_version)
        with pytest.raises(Conflict, match="the object has been modified"):
            await w.admin.update(CONFIGMAPS, replace(first, data={"a": "3"}))
        unconditional = await w.admin.update(CONFIGMAPS, config(data={"a": "4"}))
        assert unconditional.data == {"a": "4"}
        assert unconditional.metadata.uid == first.metadata.uid


@virtual
async def test_of_updates_at_the_same_time_none_is_lost() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        await asyncio.gather(*(w.admin.patch(CONFIGMAPS, "c", "default", {"data": {str(n): "x"}}) for n in range(8)))
        assert sorted((await w.admin.get(CONFIGMAPS, "c", "default")).data or {}) == [str(n) for n in range(8)]


@virtual
async def test_labels_that_were_all_taken_off_are_absent() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"labels": {"a": "b"}}})
        bare = await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"labels": {"a": None}}})
        assert bare.metadata.labels is None


@virtual
async def test_an_update_without_a_change_writes_nothing() -> None:
    async with world() as w:
        created = await w.admin.create(DEPLOYMENTS, new_deployment())
        before = w.parts.cache.revision
        assert await w.admin.update(DEPLOYMENTS, created) == created
        assert await w.admin.patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 3}}) == created
        assert w.parts.cache.revision == before


@virtual
async def test_generation_counts_desired_states() -> None:
    async with world() as w:
        created = await w.admin.create(DEPLOYMENTS, new_deployment())
        labelled = await w.admin.patch(DEPLOYMENTS, "web", "default", {"metadata": {"labels": {"a": "b"}}})
        assert labelled.metadata.generation == 1
        status = replace(created.status, replicas=3, observed_generation=1)
        reported = await w.admin.update(DEPLOYMENTS, replace(labelled, status=status), subresource="status")
        assert (reported.metadata.generation, reported.status.replicas) == (1, 3)
        scaled = await w.admin.patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 5}})
        assert scaled.metadata.generation == 2


@virtual
async def test_status_and_desired_state_have_doors_of_their_own() -> None:
    async with world() as w:
        created = await w.admin.create(DEPLOYMENTS, new_deployment())
        both = replace(created, spec=replace(created.spec, replicas=9), status=replace(created.status, replicas=9))
        updated = await w.admin.update(DEPLOYMENTS, both)
        assert (updated.spec.replicas, updated.status.replicas) == (9, None)
        both = replace(
            both, spec=replace(created.spec, replicas=1), metadata=replace(updated.metadata, labels={"a": "b"})
        )
        reported = await w.admin.update(DEPLOYMENTS, both, subresource="status")
        assert (reported.spec.replicas, reported.status.replicas, reported.metadata.labels) == (9, 9, None)


@virtual
async def test_what_the_server_owns_survives_an_update() -> None:
    async with world() as w:
        created = await w.admin.create(DEPLOYMENTS, new_deployment())
        forged = replace(created.metadata, generation=99, creation_timestamp=None, deletion_timestamp=NOW)
        updated = await w.admin.update(DEPLOYMENTS, replace(created, metadata=forged))
        assert updated == created


@virtual
async def test_another_uid_is_a_conflict() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        with pytest.raises(Conflict, match="UID"):
            await w.admin.update(CONFIGMAPS, config(uid="other"))
        with pytest.raises(Conflict, match="UID"):
            await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"uid": "other"}, "data": {}})


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        (PatchType.MERGE, {"spec": {"activeDeadlineSeconds": 5}}),
        (PatchType.JSON, [{"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 5}]),
        (
            PatchType.STRATEGIC,
            {"spec": {"activeDeadlineSeconds": 5, "containers": [{"name": "app", "image": "app:2"}]}},
        ),
    ],
)
def test_patches(patch_type: PatchType, patch: Any) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            await w.admin.create(PODS, new_pod())
            patched = await w.admin.patch(PODS, "pod", "default", patch, patch_type=patch_type)
            assert patched.spec.active_deadline_seconds == 5
            assert len(patched.spec.containers) == 1

    scenario()


@virtual
async def test_a_patch_with_a_stale_revision_is_a_conflict() -> None:
    async with world() as w:
        stale = (await w.admin.create(CONFIGMAPS, config())).metadata.resource_version
        current = await w.admin.patch(CONFIGMAPS, "c", "default", {"data": {"a": "1"}})
        with pytest.raises(Conflict):
            await w.admin.patch(
                CONFIGMAPS, "c", "default", {"metadata": {"resourceVersion": stale}, "data": {"a": "2"}}
            )
        version = current.metadata.resource_version
        await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"resourceVersion": version}, "data": {"a": "3"}})


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
def test_unknown_fields_of_a_patch(validation: str) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            await w.admin.create(CONFIGMAPS, config())
            warnings: list[str] = []
            context, options = w.context(warnings=warnings), WriteOptions(field_validation=validation)
            patch = {"data": {"a": "1"}, "surprise": 1}
            write = w.parts.api.patch(context, CONFIGMAPS, "default", "c", patch, PatchType.MERGE, options)
            if validation == "Strict":
                with pytest.raises(Invalid, match='unknown field "surprise"'):
                    await write
            else:
                assert (await write).obj.data == {"a": "1"}
            assert warnings == (['unknown field "surprise"'] if validation == "Warn" else [])

    scenario()


@virtual
async def test_what_does_not_exist_is_not_found() -> None:
    async with world() as w:
        for call in (
            w.admin.get(DEPLOYMENTS, "web", "default"),
            w.admin.update(DEPLOYMENTS, new_deployment()),
            w.admin.patch(DEPLOYMENTS, "web", "default", {}),
            w.admin.delete(DEPLOYMENTS, "web", "default"),
        ):
            with pytest.raises(NotFound) as refusal:
                await call
            assert refusal.value.message == 'deployments.apps "web" not found'
            assert refusal.value.to_status()["details"] == {"name": "web", "group": "apps", "kind": "deployments"}


@virtual
async def test_a_subresource_that_a_kind_lacks_is_not_found() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config())
        with pytest.raises(NotFound, match="could not find the requested resource"):
            await w.admin.update(CONFIGMAPS, created, subresource="status")


@virtual
async def test_endpoint_slices_count_generations_without_a_status() -> None:
    async with world() as w:
        created = await w.admin.create(
            ENDPOINTSLICES,
            EndpointSlice(metadata=ObjectMeta(name="s", namespace="default"), address_type="IPv4"),
        )
        changed = await w.admin.update(ENDPOINTSLICES, replace(created, endpoints=(Endpoint(addresses=("10.0.0.1",)),)))
        assert (created.metadata.generation, changed.metadata.generation) == (1, 2)


# Delete


@virtual
async def test_a_delete_removes_and_tells() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config(data={"a": "1"}))
        async with w.admin.watch(CONFIGMAPS, resource_version=created.metadata.resource_version) as events:
            await w.admin.delete(CONFIGMAPS, "c", "default")
            [event] = await take(events, 1)
        assert (event.type, event.obj.data) == (EventType.DELETED, {"a": "1"})
        assert int(event.obj.metadata.resource_version) == w.parts.cache.revision


@virtual
async def test_preconditions_of_a_delete() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config())
        for preconditions in (Preconditions(uid="other"), Preconditions(resource_version="1")):
            with pytest.raises(Conflict, match="precondition"):
                await w.admin.delete(CONFIGMAPS, "c", "default", options=DeleteOptions(preconditions=preconditions))
        right = Preconditions(uid=created.metadata.uid, resource_version=created.metadata.resource_version)
        await w.admin.delete(CONFIGMAPS, "c", "default", options=DeleteOptions(preconditions=right))


@virtual
async def test_finalizers_keep_a_deleted_object_until_the_last_is_gone() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config(finalizers=("example.com/a", "example.com/b")))
        deleted = await w.parts.api.delete(w.context(), CONFIGMAPS, "default", "c", DeleteOptions())
        assert not deleted.done
        assert deleted.stored.obj.metadata.deletion_timestamp == NOW
        again = await w.parts.api.delete(w.context(), CONFIGMAPS, "default", "c", DeleteOptions())
        assert (again.done, again.stored) == (False, deleted.stored)
        with pytest.raises(Invalid, match="no new finalizers can be added"):
            await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"finalizers": ["example.com/c"]}})
        kept = await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"finalizers": ["example.com/b"]}})
        assert kept.metadata.finalizers == ("example.com/b",)
        last = await w.admin.patch(CONFIGMAPS, "c", "default", {"metadata": {"finalizers": None}})
        assert last.metadata.finalizers is None
        assert last.metadata.resource_version == str(w.parts.cache.revision)
        with pytest.raises(NotFound):
            await w.admin.get(CONFIGMAPS, "c", "default")


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        (DeleteOptions(propagation_policy="Foreground"), ("foregroundDeletion",)),
        (DeleteOptions(propagation_policy="Orphan"), ("orphan",)),
        (DeleteOptions(orphan_dependents=True), ("orphan",)),
    ],
)
def test_propagation_is_handed_to_the_collector_as_a_finalizer(
    options: DeleteOptions, finalizers: tuple[str, ...]
) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            await w.admin.create(DEPLOYMENTS, new_deployment())
            await w.admin.delete(DEPLOYMENTS, "web", "default", options=options)
            marked = await w.admin.get(DEPLOYMENTS, "web", "default")
            assert marked.metadata.finalizers == finalizers
            assert marked.metadata.deletion_timestamp == NOW
            assert marked.metadata.generation == 2
            await w.admin.delete(DEPLOYMENTS, "web", "default", options=DeleteOptions(propagation_policy="Background"))
            with pytest.raises(NotFound):
                await w.admin.get(DEPLOYMENTS, "web", "default")

    scenario()


@virtual
async def test_bad_delete_options() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        for options in (
            DeleteOptions(propagation_policy="Sideways"),
            DeleteOptions(propagation_policy="Orphan", orphan_dependents=True),
        ):
            with pytest.raises(BadRequest):
                await w.admin.delete(CONFIGMAPS, "c", "default", options=options)


@virtual
async def test_who_wrote_is_recorded_also_for_a_delete() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        entry, _ = await w.backend.get(keys.object_key(CONFIGMAPS, "default", "c"))
        assert entry is not None
        assert b'"user":"admin"' in entry.value
        await w.admin.delete(CONFIGMAPS, "c", "default")
        deleted_by, revision = await w.backend.get(keys.DELETED_BY)
        assert deleted_by is not None
        assert b'"user":"admin"' in deleted_by.value
        assert deleted_by.mod_revision == revision


# The store underneath


class FailingBackend(MemoryBackend):
    """Fails commits on request, after they happened or instead of them."""

    fail_with: Exception | None = None
    fail_reads_with: Exception | None = None
    refuse_times = 0

    async def revision(self) -> int:
        if self.fail_reads_with is not None:
            raise self.fail_reads_with
        return await super().revision()

    async def commit(self, guards: Any, writes: Any) -> Committed | Refused:
        if self.fail_with is not None:
            raise self.fail_with
        if self.refuse_times:
            self.refuse_times -= 1
            await super().commit([], [Put(keys.INTERNAL + "noise", b"x")])
            return await super().commit([Guard(keys.INTERNAL + "noise", mod_revision=0)], writes)
        return await super().commit(guards, writes)


@virtual
async def test_a_refused_transaction_is_decided_anew() -> None:
    store = FailingBackend()
    async with world(store) as w:
        store.refuse_times = 3
        await w.admin.create(CONFIGMAPS, config())
        store.refuse_times = 3
        await w.admin.patch(CONFIGMAPS, "c", "default", {"data": {"a": "1"}})
        store.refuse_times = 3
        await w.admin.delete(CONFIGMAPS, "c", "default")


@virtual
async def test_endless_refusals_end_in_a_conflict() -> None:
    store = FailingBackend()
    async with world(store) as w:
        await w.admin.create(CONFIGMAPS, config())
        store.refuse_times = 1000
        for call in (
            w.admin.create(CONFIGMAPS, config("d")),
            w.admin.patch(CONFIGMAPS, "c", "default", {"data": {"a": "1"}}),
            w.admin.delete(CONFIGMAPS, "c", "default"),
        ):
            with pytest.raises(Conflict):
                await call


@virtual
async def test_a_write_that_the_store_does_not_confirm_is_not_to_be_repeated() -> None:
    store = FailingBackend()
    async with world(store) as w:
        await w.admin.create(CONFIGMAPS, config())
        store.fail_with = StoreUnavailable("no quorum")
        for call in (
            w.admin.create(CONFIGMAPS, config("d")),
            w.admin.patch(CONFIGMAPS, "c", "default", {"data": {"a": "1"}}),
            w.admin.delete(CONFIGMAPS, "c", "default"),
        ):
            with pytest.raises(Timeout, match="no quorum") as refusal:
                await call
            assert (refusal.value.code, refusal.value.retry_after_s) == (504, 0)


@virtual
async def test_what_certainly_was_not_written_may_be_repeated() -> None:
    """An update begins with a read."""
    store = FailingBackend()
    async with world(store) as w:
        await w.admin.create(CONFIGMAPS, config())
        store.fail_reads_with = StoreUnavailable("no quorum")
        for call in (w.admin.get(CONFIGMAPS, "c", "default"), w.admin.update(CONFIGMAPS, config(data={"a": "1"}))):
            with pytest.raises(ServiceUnavailable, match="no quorum") as refusal:
                await call
            assert refusal.value.retry_after_s == 1


# Values that cannot be read


async def damage(w: World, kind: Kind[Any], name: str, namespace: str = "default") -> None:
    await w.backend.commit([], [Put(keys.object_key(kind, namespace, name), b"\x07from a newer server")])
    await w.parts.cache.fresh()


@virtual
async def test_an_object_that_cannot_be_read_is_there_until_it_is_deleted_by_force() -> None:
    async with world() as w:
        created = await w.admin.create(CONFIGMAPS, config())
        await damage(w, CONFIGMAPS, "c")
        uid = Preconditions(uid=created.metadata.uid)
        for call in (
            w.admin.get(CONFIGMAPS, "c", "default"),
            w.admin.update(CONFIGMAPS, config()),
            w.admin.patch(CONFIGMAPS, "c", "default", {"data": {}}),
            w.admin.list(CONFIGMAPS),
            w.admin.delete(CONFIGMAPS, "c", "default"),
            w.admin.delete(CONFIGMAPS, "c", "default", options=replace(FORCE, preconditions=uid)),
        ):
            with pytest.raises(InternalError, match='configmaps "default/c" exists'):
                await call
        with pytest.raises(AlreadyExists):
            await w.admin.create(CONFIGMAPS, config())
        await w.admin.delete(CONFIGMAPS, "c", "default", options=FORCE)
        with pytest.raises(NotFound):
            await w.admin.get(CONFIGMAPS, "c", "default")
        await w.admin.create(CONFIGMAPS, config())
        assert len((await w.admin.list(CONFIGMAPS)).items) > 0


@virtual
async def test_a_list_at_a_revision_names_the_object_that_cannot_be_read() -> None:
    async with world() as w:
        await w.admin.create(CONFIGMAPS, config())
        await damage(w, CONFIGMAPS, "c")
        revision = str(w.parts.cache.revision)
        await w.admin.delete(CONFIGMAPS, "c", "default", options=FORCE)
        options = ListOptions(resource_version=revision, resource_version_match="Exact")
        with pytest.raises(InternalError, match='configmaps "default/c" exists'):
            await w.parts.api.list(w.context(), CONFIGMAPS, "", options)


@virtual
async def test_a_node_that_cannot_be_read_still_holds_its_pods() -> None:
    async with world() as w:
        await w.admin.create(NODES, new_node("n"))
        await w.admin.create(PODS, new_pod())
        await w.admin.create_subresource(PODS, "pod", "default", "binding", {"target": {"name": "n"}})
        await damage(w, NODES, "n", "")
        await w.admin.delete(PODS, "pod", "default", options=FORCE)
        assert (await w.admin.get(PODS, "pod", "default")).metadata.deletion_grace_period_seconds == 1


@virtual
async def test_a_service_that_cannot_be_read_gives_its_allocations_back() -> None:
    async with world() as w:
        spec = ServiceSpec(type="NodePort", ports=(ServicePort(port=80, node_port=30080),), cluster_ip="10.96.0.77")
        service = Service(metadata=ObjectMeta(name="s", namespace="default"), spec=spec)
        await w.admin.create(SERVICES, service)
        await damage(w, SERVICES, "s")
        await w.admin.delete(SERVICES, "s", "default", options=FORCE)
        await w.admin.create(SERVICES, service)


@virtual
async def test_a_server_starts_beside_a_namespace_that_it_cannot_read() -> None:
    store = MemoryBackend()
    await store.commit([], [Put(keys.object_key(NAMESPACES, "", "kube-public"), b"\x07")])
    async with world(store) as w:
        with pytest.raises(InternalError, match="kube-public"):
            await w.admin.get(NAMESPACES, "kube-public")


# Kinds at run time


@virtual
async def test_an_untyped_kind_takes_every_verb() -> None:
    """1. Register. 2. Create, read, list, select. 3. Update, status, patch. 4. Watch a delete."""
    widgets: Kind[UntypedObject] = Kind(
        "example.com",
        "v1",
        "Widget",
        "widgets",
        UntypedCodec("example.com/v1", "Widget"),
        subresources=frozenset({"status", "scale"}),
    )
    async with world() as w:
        w.kinds.register(widgets)
        new = UntypedObject(
            metadata=ObjectMeta(name="w", namespace="default", labels={"a": "b"}),
            content={"spec": {"replicas": 1}, "status": {"ready": True}},
        )
        created = await w.admin.create(widgets, new)
        assert created.content == {"spec": {"replicas": 1}}
        assert (created.kind, created.metadata.generation) == ("Widget", 1)
        assert (await w.admin.list(widgets, label_selector="a=b")).items == (created,)
        assert (await w.admin.list(widgets, label_selector="a=c")).items == ()
        reported = await w.admin.update(
            widgets, replace(created, content={"status": {"ready": True}}), subresource="status"
        )
        assert reported.content == {"spec": {"replicas": 1}, "status": {"ready": True}}
        changed = await w.admin.patch(widgets, "w", "default", {"spec": {"replicas": 2}})
        assert (changed.metadata.generation, changed.content["status"]) == (2, {"ready": True})
        scale: Any = await w.admin.patch(widgets, "w", "default", {"spec": {"replicas": 4}}, subresource="scale")
        assert scale.spec.replicas == 4
        async with w.admin.watch(widgets, resource_version=scale.metadata.resource_version) as events:
            await w.admin.delete(widgets, "w", "default")
            [gone] = await take(events, 1)
        assert (gone.type, gone.obj.content["spec"]) == (EventType.DELETED, {"replicas": 4})
