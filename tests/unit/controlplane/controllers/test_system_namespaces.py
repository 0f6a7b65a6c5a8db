"""A system namespace that was deleted returns; others do not."""

import asyncio

import pytest

from controlplane.controllers.actions import Create
from controlplane.controllers.system_namespaces import reconcile
from orch.api.kinds import NAMESPACES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.errors import NotFound
from tests.builders import deleting, meta
from tests.sim.virtual_loop import virtual
from tests.world import world

LEASES = Namespace(metadata=meta("kube-node-lease", namespace=""))


def test_only_what_is_gone_and_of_the_system_is_made() -> None:
    (create,) = reconcile("kube-node-lease", None).actions
    assert isinstance(create, Create)
    assert create.obj.metadata.name == "kube-node-lease"
    assert reconcile("kube-node-lease", LEASES).actions == ()
    assert reconcile("kube-node-lease", deleting(LEASES)).actions == ()
    assert reconcile("team", None).actions == ()


@virtual
async def test_the_namespace_of_the_leases_returns() -> None:
    async with world("controllers") as made:
        await made.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
        first = (await made.client.get(NAMESPACES, "kube-node-lease")).metadata.uid
        for name in ("kube-node-lease", "team"):
            await made.client.delete(NAMESPACES, name)
        await asyncio.sleep(5)
        assert (await made.client.get(NAMESPACES, "kube-node-lease")).metadata.uid != first
        with pytest.raises(NotFound):
            await made.client.get(NAMESPACES, "team")
