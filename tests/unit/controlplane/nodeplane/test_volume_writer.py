"""What becomes of a node's word about its volumes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controlplane.nodeplane.volume_writer import VolumeWriter, claim_grown
from orch.api.kinds import PERSISTENTVOLUMES
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaimCondition
from orch.api.volume_binding import DELETION_FINALIZER, VOLUME_FINALIZER
from orch.client.informer import Informers
from protos import node_pb2
from tests.sim.virtual_loop import virtual
from tests.storage import bound_claim, volume
from tests.world import World, world

GIBIBYTE = 1 << 30


@asynccontextmanager
async def writing() -> AsyncIterator[tuple[World, VolumeWriter]]:
    async with world() as made, asyncio.TaskGroup() as tasks:
        informers = Informers(made.node_side)
        writer = VolumeWriter(made.node_side, informers)
        running = [tasks.create_task(part.run()) for part in (*informers, writer)]
        await informers.synced()
        yield made, writer
        for task in running:
            task.cancel()


async def with_finalizer(made: World) -> PersistentVolume:
    await made.make(PERSISTENTVOLUMES, volume(host="node-1", policy="Delete", finalizers=(DELETION_FINALIZER,)))
    await asyncio.sleep(1)
    return await made.client.get(PERSISTENTVOLUMES, "pv")


def removed(stored: PersistentVolume) -> node_pb2.VolumeReport:
    return node_pb2.VolumeReport(name="pv", uid=stored.metadata.uid, removed=True)


@virtual
async def test_a_confirmed_removal_takes_the_finalizer_of_a_volume_that_is_being_deleted() -> None:
    async with writing() as (made, writer):
        stored = await with_finalizer(made)
        await made.client.delete(PERSISTENTVOLUMES, "pv")
        await asyncio.sleep(1)
        writer.submit("node-1", removed(stored))
        await asyncio.sleep(1)
        assert (await made.client.get(PERSISTENTVOLUMES, "pv")).metadata.finalizers == (VOLUME_FINALIZER,)


@pytest.mark.parametrize("deleting", [True, False], ids=["another node's word", "not being deleted"])
def test_a_removal_nobody_asked_for_changes_nothing(deleting: bool) -> None:
    @virtual
    async def check() -> None:
        async with writing() as (made, writer):
            stored = await with_finalizer(made)
            if deleting:
                await made.client.delete(PERSISTENTVOLUMES, "pv")
                await asyncio.sleep(1)
            writer.submit("node-2" if deleting else "node-1", removed(stored))
            await asyncio.sleep(1)
            found = (await made.client.get(PERSISTENTVOLUMES, "pv")).metadata.finalizers or ()
            assert DELETION_FINALIZER in found

    check()


def test_a_grown_claim_says_its_size_and_waits_no_more() -> None:
    pending = PersistentVolumeClaimCondition(type="FileSystemResizePending", status="True")
    small = bound_claim(size="3Gi")
    waiting = type(small)(
        metadata=small.metadata, spec=small.spec, status=type(small.status)(
            phase="Bound", capacity={"storage": "1Gi"}, conditions=(pending,)
        ),
    )  # fmt: skip
    grown = claim_grown(waiting, 3 * GIBIBYTE)
    assert grown is not None
    assert (grown.status.capacity, grown.status.conditions) == ({"storage": "3Gi"}, None)
    assert claim_grown(waiting, GIBIBYTE) is None
    assert claim_grown(bound_claim(phase="Pending"), 3 * GIBIBYTE) is None
