"""The classes of claims and ingresses that name none, and the growth of claims."""

from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.kinds import INGRESSCLASSES, INGRESSES, PERSISTENTVOLUMECLAIMS, STORAGECLASSES
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.errors import Forbidden
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, world
from tests.unit.orch.api.objects import made


def marked(group: str) -> dict[str, Any]:
    return {"name": "standard", "annotations": {f"{group}.kubernetes.io/is-default-class": "true"}}


def claim(name: str, **spec: Any) -> PersistentVolumeClaim:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    result: PersistentVolumeClaim = made(PERSISTENTVOLUMECLAIMS, {"metadata": {"name": name}, "spec": wanted})
    return result


async def with_class(w: World, **fields: Any) -> None:
    """The only class: that of every new cluster goes."""
    await w.admin.delete(STORAGECLASSES, "local")
    plain = {"metadata": marked("storageclass"), "provisioner": "orch.io/local", **fields}
    await w.admin.create(STORAGECLASSES, made(STORAGECLASSES, plain))


@virtual
async def test_a_claim_that_names_no_class_gets_the_default() -> None:
    async with world() as w:
        early = await w.admin.create(PERSISTENTVOLUMECLAIMS, claim("early"))
        assert early.spec.storage_class_name == "local"
        await with_class(w)
        late = await w.admin.create(PERSISTENTVOLUMECLAIMS, claim("late"))
        assert (late.spec.storage_class_name, late.status.phase) == ("standard", "Pending")
        none = await w.admin.create(PERSISTENTVOLUMECLAIMS, claim("none", storageClassName=""))
        assert none.spec.storage_class_name == ""


@virtual
async def test_an_ingress_that_names_no_class_gets_the_default() -> None:
    async with world() as w:
        plain = {"metadata": marked("ingressclass"), "spec": {"controller": "a.b/c"}}
        await w.admin.create(INGRESSCLASSES, made(INGRESSCLASSES, plain))
        backend = {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}
        created = await w.admin.create(INGRESSES, made(INGRESSES, {"spec": backend}))
        assert created.spec.ingress_class_name == "standard"


async def grow(w: World, name: str) -> None:
    stored = await w.admin.get(PERSISTENTVOLUMECLAIMS, name, "default")
    resources = replace(stored.spec.resources, requests={"storage": "2Gi"})
    await w.admin.update(PERSISTENTVOLUMECLAIMS, replace(stored, spec=replace(stored.spec, resources=resources)))


@virtual
async def test_a_bound_claim_grows_if_its_class_lets_it() -> None:
    async with world() as w:
        await with_class(w)
        pending = await w.admin.create(PERSISTENTVOLUMECLAIMS, claim("data"))
        with pytest.raises(Forbidden, match="Only bound persistent volume claims can be expanded"):
            await grow(w, "data")
        bound = replace(pending, status=replace(pending.status, phase="Bound"))
        await w.admin.update(PERSISTENTVOLUMECLAIMS, bound, subresource="status")
        with pytest.raises(Forbidden, match="the storageclass that provisions the pvc must support resize"):
            await grow(w, "data")
        await w.admin.patch(STORAGECLASSES, "standard", "", {"allowVolumeExpansion": True})
        await grow(w, "data")
        grown = await w.admin.get(PERSISTENTVOLUMECLAIMS, "data", "default")
        assert grown.spec.resources.requests == {"storage": "2Gi"}
