"""One stored object in two group-versions: Events of core and events.k8s.io, autoscalers of v1 and v2."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.interface import ListOptions, WatchOptions
from orch.api import event as core
from orch.api.events import Event, EventSeries
from orch.api.kinds import EVENTS, EVENTS_V1, HORIZONTALPODAUTOSCALERS, HORIZONTALPODAUTOSCALERS_V1
from orch.api.meta import DeleteOptions, ObjectMeta
from orch.api.shared import ObjectReference
from orch.client.client import EventType
from orch.client.informer import Informer
from orch.errors import BadRequest, Invalid, NotFound
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import take, world

SECOND = "2026-01-01T00:00:01.000000Z"


def event(name: str, reason: str = "Because", **fields: Any) -> Event:
    return Event(
        metadata=ObjectMeta(name=name, namespace="default"),
        action="Act",
        event_time="2026-01-01T00:00:00.000000Z",
        note="what happened",
        reason=reason,
        regarding=ObjectReference(kind="Pod", name="web", namespace="default"),
        reporting_controller="example.com/tests",
        reporting_instance="tests-0",
        type="Normal",
        **fields,
    )


@virtual
async def test_an_object_written_in_one_form_is_read_in_both() -> None:
    async with world() as w:
        created = await w.admin.create(EVENTS_V1, event("e"))
        assert (created.api_version, created.note, created.metadata.generation) == (
            "events.k8s.io/v1",
            "what happened",
            None,
        )
        old_form = await w.admin.get(EVENTS, "e", "default")
        assert (old_form.api_version, old_form.message, old_form.involved_object.name) == ("v1", "what happened", "web")
        assert old_form.metadata == created.metadata
        assert (await w.admin.get(EVENTS_V1, "e", "default")) == created
        assert (await w.admin.list(EVENTS_V1)).items == (created,)


@virtual
async def test_a_form_is_made_once_per_revision() -> None:
    async with world() as w:
        await w.admin.create(EVENTS_V1, event("e"))
        api, context = w.parts.api, w.context()
        first = await api.get(context, EVENTS_V1, "default", "e")
        listing = await api.list(context, EVENTS_V1, "", ListOptions(resource_version="0"))
        assert listing.items[0] is first
        assert EVENTS_V1.codec.decode(first.data) == first.obj
        async with (
            api.watch(context, EVENTS_V1, "", WatchOptions(resource_version="1")) as one,
            api.watch(context, EVENTS_V1, "", WatchOptions(resource_version="1")) as other,
        ):
            seen, seen_too = (await take(one, 1))[0][-1], (await take(other, 1))[0][-1]
        assert seen is seen_too
        assert seen.stored is first


@virtual
async def test_updates_and_patches_are_in_the_form_of_the_request() -> None:
    async with world() as w:
        await w.admin.create(EVENTS_V1, event("e"))
        series = {"series": {"count": 2, "lastObservedTime": SECOND}}
        patched = await w.admin.patch(EVENTS_V1, "e", "default", series)
        assert patched.series == EventSeries(count=2, last_observed_time=SECOND)
        updated = await w.admin.update(
            EVENTS_V1, replace(patched, series=EventSeries(count=3, last_observed_time=SECOND))
        )
        assert updated.series is not None
        assert updated.series.count == 3
        assert (await w.admin.update(EVENTS_V1, updated)).metadata.resource_version == updated.metadata.resource_version
        stored = await w.admin.get(EVENTS, "e", "default")
        assert stored.series == core.EventSeries(count=3, last_observed_time=SECOND)


@virtual
async def test_a_watch_sees_what_the_other_form_wrote_and_deleted() -> None:
    async with world() as w:
        start = (await w.admin.list(EVENTS)).resource_version
        async with w.admin.watch(EVENTS_V1, resource_version=start, bookmarks=False) as events:
            old_form = EVENTS_V1.to_stored(event("e"))
            await w.admin.create(EVENTS, old_form)
            await w.admin.patch(EVENTS, "e", "default", {"message": "again"})
            await w.admin.delete(EVENTS, "e", "default")
            seen = await take(events, 3)
        assert [each.type for each in seen] == [EventType.ADDED, EventType.MODIFIED, EventType.DELETED]
        assert [each.obj.note for each in seen] == ["what happened", "again", "again"]
        revisions = [int(each.obj.metadata.resource_version) for each in seen]
        assert revisions == sorted(set(revisions))


@virtual
async def test_selectors_name_the_fields_of_the_form() -> None:
    async with world() as w:
        for name, reason in (("a", "One"), ("b", "Two")):
            await w.admin.create(EVENTS_V1, event(name, reason))
        chosen = await w.admin.list(EVENTS_V1, field_selector="regarding.name=web,reason=Two,type=Normal")
        assert [each.metadata.name for each in chosen.items] == ["b"]
        with pytest.raises(BadRequest, match="involvedObject"):
            await w.admin.list(EVENTS_V1, field_selector="involvedObject.name=web")
        with pytest.raises(BadRequest, match="regarding"):
            await w.admin.list(EVENTS, field_selector="regarding.name=web")
        start = (await w.admin.list(EVENTS)).resource_version
        async with w.admin.watch(EVENTS_V1, resource_version=start, field_selector="reportingController=x") as events:
            await w.admin.create(EVENTS_V1, replace(event("c"), reporting_controller="x"))
            assert (await take(events, 1))[0].obj.metadata.name == "c"


@virtual
async def test_pages_continue_from_the_store() -> None:
    async with world() as w:
        for name in ("a", "b", "c"):
            await w.admin.create(EVENTS_V1, event(name))
        page = await w.admin.list(EVENTS_V1, limit=2)
        await w.admin.patch(EVENTS, "c", "default", {"message": "later"})
        rest = await w.admin.list(EVENTS_V1, limit=2, continue_token=page.continue_token)
        assert [each.note for each in rest.items] == ["what happened"]


@virtual
async def test_what_only_the_new_form_demands() -> None:
    async with world() as w:
        with pytest.raises(Invalid, match="eventTime") as refused:
            await w.admin.create(EVENTS_V1, replace(event("e", deprecated_count=1), event_time=None))
        assert [cause.field for cause in refused.value.causes] == ["eventTime", "deprecatedCount"]
        await w.admin.create(EVENTS_V1, event("e"))
        with pytest.raises(Invalid, match="note"):
            await w.admin.patch(EVENTS_V1, "e", "default", {"note": "changed"})


@virtual
async def test_deletes_and_dry_runs() -> None:
    async with world() as w:
        made = await w.admin.create(EVENTS_V1, event("e"), dry_run=True)
        assert (made.note, made.metadata.resource_version) == ("what happened", "")
        with pytest.raises(NotFound):
            await w.admin.get(EVENTS_V1, "e", "default")
        await w.admin.create(EVENTS_V1, event("e"))
        deleted = await w.parts.api.delete(w.context(), EVENTS_V1, "default", "e", DeleteOptions())
        assert (deleted.done, deleted.stored.obj.note) == (True, "what happened")
        await w.admin.create(EVENTS, EVENTS_V1.to_stored(event("e")))
        gone = await w.parts.api.delete_collection(w.context(), EVENTS_V1, "default", ListOptions(), DeleteOptions())
        assert [each.obj.api_version for each in gone.items] == ["events.k8s.io/v1"]


@virtual
async def test_an_informer_follows_a_form() -> None:
    async with world() as w, asyncio.TaskGroup() as group:
        informer = Informer(w.admin, EVENTS_V1)
        running = group.create_task(informer.run())
        await informer.synced.wait()
        created = await w.admin.create(EVENTS_V1, event("e"))
        await informer.reached(int(created.metadata.resource_version))
        assert informer.get("default", "e") == created
        running.cancel()


@virtual
async def test_an_autoscaler_is_one_object_in_two_versions() -> None:
    async with world() as w:
        reference = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
        await w.admin.create(
            HORIZONTALPODAUTOSCALERS_V1,
            HORIZONTALPODAUTOSCALERS_V1.codec.from_plain(
                {
                    "metadata": {"name": "x", "namespace": "default"},
                    "spec": {"maxReplicas": 3, "scaleTargetRef": reference},
                }
            ),
        )
        stored = await w.admin.get(HORIZONTALPODAUTOSCALERS, "x", "default")
        assert (stored.api_version, stored.spec.min_replicas, len(stored.spec.metrics or ())) == (
            "autoscaling/v2",
            1,
            1,
        )
        patch = {"spec": {"targetCPUUtilizationPercentage": 50}}
        patched = await w.admin.patch(HORIZONTALPODAUTOSCALERS_V1, "x", "default", patch)
        assert (patched.metadata.generation, patched.spec.target_cpu_utilization_percentage) == (2, 50)
        status = replace(patched.status, desired_replicas=2)
        told = await w.admin.update(HORIZONTALPODAUTOSCALERS_V1, replace(patched, status=status), subresource="status")
        assert (told.metadata.generation, told.status.desired_replicas) == (2, 2)
        assert (await w.admin.update(HORIZONTALPODAUTOSCALERS_V1, told)).metadata == told.metadata
