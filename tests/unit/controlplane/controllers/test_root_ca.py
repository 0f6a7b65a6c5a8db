"""Every namespace has the authority by which its pods know the API."""

import asyncio

from msgspec.structs import replace

from controlplane.controllers.actions import Create, Update
from controlplane.controllers.root_ca import NAME, reconcile
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, NAMESPACES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.errors import NotFound
from tests.builders import deleting, meta
from tests.sim.virtual_loop import virtual
from tests.tokens import ROOT_CA
from tests.world import World, world

TEAM = Namespace(metadata=meta("team", namespace=""))
GOOD = ConfigMap(metadata=meta(NAME, "team"), data={"ca.crt": "pem"})


def test_what_is_missing_is_made_and_what_is_wrong_put_right() -> None:
    (create,) = reconcile(TEAM, None, "pem").actions
    assert isinstance(create, Create)
    assert isinstance(create.obj, ConfigMap)
    assert (create.obj.metadata.namespace, create.obj.data) == ("team", {"ca.crt": "pem"})
    assert reconcile(TEAM, GOOD, "pem").actions == ()
    for wrong in (replace(GOOD, data={"ca.crt": "pem", "more": "x"}), replace(GOOD, binary_data={"x": b"y"})):
        (update,) = reconcile(TEAM, wrong, "pem").actions
        assert isinstance(update, Update)
        assert update.obj == GOOD
    assert reconcile(deleting(TEAM), None, "pem").actions == ()


@virtual
async def test_it_returns_when_deleted_or_changed() -> None:
    async with world("controllers") as made:
        await made.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
        await until_right(made)
        await made.client.delete(CONFIGMAPS, NAME, "team")
        await until_right(made)
        await made.client.patch(CONFIGMAPS, NAME, "team", {"data": {"ca.crt": "of somebody else"}})
        await until_right(made)


async def until_right(made: World) -> None:
    while True:
        try:
            if (await made.client.get(CONFIGMAPS, NAME, "team")).data == {"ca.crt": ROOT_CA}:
                return
        except NotFound:
            pass
        await asyncio.sleep(0.1)
