"""Pod statuses from agents into the API."""

import asyncio
from typing import Any

import msgspec

from controlplane.nodeplane.pod_status_writer import PodReport, PodStatusWriter, status_patch, would_change
from orch.api.kind import Kind
from orch.api.kinds import PODS
from orch.api.meta import DeleteOptions
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.client.client import Client, PatchType
from orch.errors import Conflict, NotFound
from tests.unit.controlplane.nodeplane.world import a_bound_pod, api, eventually, informer

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def test_what_is_stored_already_changes_nothing() -> None:
    current = {"phase": "Running", "qosClass": "Burstable", "conditions": [READY, {"type": "other", "status": "True"}]}
    assert not would_change(current, {"phase": "Running", "conditions": [READY]})
    assert would_change(current, {"phase": "Failed", "conditions": [READY]})
    assert would_change(current, {"phase": "Running", "conditions": [READY | {"status": "False"}]})
    assert would_change(current | {"podIP": "10.0.0.1"}, {"phase": "Running"})


def test_a_patch_clears_what_the_agent_leaves_out_and_replaces_addresses() -> None:
    current = {"phase": "Pending", "message": "no image", "podIPs": [{"ip": "10.0.0.1"}]}
    patch = status_patch("u", current, {"phase": "Running", "podIPs": [{"ip": "10.0.0.2"}]})
    assert patch["metadata"] == {"uid": "u"}
    assert patch["status"]["message"] is None
    assert patch["status"]["podIPs"] == [{"$patch": "replace"}, {"ip": "10.0.0.2"}]


def test_a_resize_that_is_over_leaves_no_condition() -> None:
    current = {"conditions": [READY, {"type": "PodResizeInProgress", "status": "True"}, {"type": "other"}]}
    assert would_change(current, {"conditions": [READY]})
    patch = status_patch("u", current, {"conditions": [READY]})
    assert patch["status"]["conditions"] == [READY, {"$patch": "delete", "type": "PodResizeInProgress"}]


def report(pod: Pod, *, node: str = "n1", stopped: bool = False, **status: Any) -> PodReport:
    said = msgspec.convert(status, PodStatus)
    return PodReport(node, pod.metadata.uid, pod.metadata.namespace, pod.metadata.name, said, stopped)


async def phase_of(client: Client, name: str = "web") -> str | None:
    return (await client.get(PODS, name, "default")).status.phase


async def test_a_report_is_written_and_others_conditions_stay() -> None:
    async with api() as (admin, client, background):
        writer = PodStatusWriter(client, await informer(client, PODS, background))
        background.create_task(writer.run())
        pod = await a_bound_pod(admin)
        gate = {"status": {"conditions": [{"type": "example.com/gate", "status": "True"}]}}
        patch = {"patch_type": PatchType.STRATEGIC, "subresource": "status"}
        await admin.patch(PODS, "web", "default", gate, **patch)
        for phase in ("Pending", "Running"):
            writer.submit(report(pod, phase=phase, conditions=[READY], podIP="10.0.0.1", podIPs=[{"ip": "10.0.0.1"}]))

        async def is_running() -> bool:
            return await phase_of(admin) == "Running"

        await eventually(is_running)
        status = (await admin.get(PODS, "web", "default")).status
    assert {c.type for c in status.conditions} >= {"Ready", "example.com/gate"}
    assert status.pod_ip == "10.0.0.1"


async def test_reports_that_must_not_be_written_are_not() -> None:
    """Of another node's pod, of a pod that was replaced, of a phase after a terminal one."""
    async with api() as (admin, client, background):
        pods = await informer(client, PODS, background)
        writer = PodStatusWriter(client, pods)
        background.create_task(writer.run())
        pod = await a_bound_pod(admin)
        done, last = await a_bound_pod(admin, "done"), await a_bound_pod(admin, "last")
        writer.submit(report(pod, node="n2", phase="Running"))
        writer.submit(PodReport("n1", "another-uid", "default", "web", PodStatus(phase="Running"), True))
        writer.submit(report(done, phase="Succeeded"))

        async def is_done() -> bool:
            return await phase_of(admin, "done") == "Succeeded"

        await eventually(is_done)
        writer.submit(report(done, phase="Running"))
        writer.submit(report(last, phase="Running"))

        async def last_is_written() -> bool:
            return await phase_of(admin, "last") == "Running"

        await eventually(last_is_written)
        assert (await phase_of(admin), await phase_of(admin, "done")) == ("Pending", "Succeeded")


async def test_a_confirmed_stop_removes_a_pod_that_is_being_deleted_and_no_other() -> None:
    async with api() as (admin, client, background):
        writer = PodStatusWriter(client, await informer(client, PODS, background))
        background.create_task(writer.run())
        stays, goes = await a_bound_pod(admin, "stays"), await a_bound_pod(admin, "goes")
        await admin.delete(PODS, "goes", "default", options=DeleteOptions(grace_period_seconds=30))
        writer.submit(report(stays, phase="Pending", stopped=True))
        writer.submit(report(goes, phase="Failed", stopped=True))

        async def is_gone() -> bool:
            try:
                await admin.get(PODS, "goes", "default")
            except NotFound:
                return True
            return False

        await eventually(is_gone)
        assert (await admin.get(PODS, "stays", "default")).metadata.uid == stays.metadata.uid


class Contended:
    """A client whose first status write loses to other writers."""

    def __init__(self, client: Client) -> None:
        self._client, self.patches = client, 0

    async def get(self, kind: Kind[Any], name: str, namespace: str) -> Any:
        return await self._client.get(kind, name, namespace)

    async def patch(self, *args: Any, **options: Any) -> Any:
        self.patches += 1
        if self.patches == 1:
            raise Conflict("the object was changed in every round")
        return await self._client.patch(*args, **options)


async def test_a_report_that_lost_to_other_writers_is_written_later() -> None:
    async with api() as (admin, client, background):
        contended = Contended(client)
        writer = PodStatusWriter(contended, await informer(client, PODS, background))  # type: ignore[arg-type]
        background.create_task(writer.run())
        writer.submit(report(await a_bound_pod(admin), phase="Running"))

        async def is_running() -> bool:
            return await phase_of(admin) == "Running"

        await eventually(is_running)
        assert contended.patches == 2


async def test_a_report_of_a_pod_that_was_replaced_is_given_up() -> None:
    """The cache still holds the first pod when another has its name."""
    async with api() as (admin, client, background):
        pods = await informer(client, PODS, background)
        first = await a_bound_pod(admin)
        await pods.reached(int(first.metadata.resource_version))
        pods.by_uid = lambda uid: first  # type: ignore[method-assign]
        await admin.delete(PODS, "web", "default", options=DeleteOptions(grace_period_seconds=0))
        await a_bound_pod(admin)
        contended = Contended(client)
        writer = PodStatusWriter(contended, pods)  # type: ignore[arg-type]
        background.create_task(writer.run())
        writer.submit(report(first, phase="Running"))
        await asyncio.sleep(0.3)  # longer than the first delays between attempts
        assert (contended.patches, await phase_of(admin)) == (1, "Pending")
