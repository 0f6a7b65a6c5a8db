"""Every namespace has its default ServiceAccount."""

import asyncio

from controlplane.controllers.actions import Create
from controlplane.controllers.service_account import reconcile
from orch.api.kinds import NAMESPACES, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.api.serviceaccount import ServiceAccount
from tests.builders import deleting, meta
from tests.sim.virtual_loop import virtual
from tests.world import World, world

TEAM = Namespace(metadata=meta("team", namespace=""))


def test_a_missing_account_is_made_unless_the_namespace_is_going() -> None:
    (create,) = reconcile(TEAM, None).actions
    assert isinstance(create, Create)
    assert (create.obj.metadata.namespace, create.obj.metadata.name) == ("team", "default")
    assert reconcile(TEAM, ServiceAccount(metadata=meta("default"))).actions == ()
    assert reconcile(deleting(TEAM), None).actions == ()


@virtual
async def test_an_account_that_was_deleted_returns() -> None:
    async with world("controllers") as made:
        await made.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
        first = await until_there(made, "")
        await made.client.delete(SERVICEACCOUNTS, "default", "team")
        assert await until_there(made, first) != first


async def until_there(made: World, other_than: str) -> str:
    while True:
        found = (await made.client.list(SERVICEACCOUNTS, "team")).items
        if found and found[0].metadata.uid != other_than:
            return found[0].metadata.uid
        await asyncio.sleep(0.1)
