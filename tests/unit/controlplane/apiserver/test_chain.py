import pytest
from msgspec.structs import replace

from controlplane.registry.interface import ListOptions
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, DEPLOYMENTS
from orch.api.meta import DeleteOptions, ObjectMeta
from orch.api.subresources import Scale, ScaleSpec
from orch.errors import Conflict, Invalid, NotFound
from tests.builders import deployment
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, world


async def create_deployment(w: World) -> None:
    await w.admin.create(DEPLOYMENTS, replace(deployment("web"), metadata=ObjectMeta(name="web", namespace="default")))


async def get_scale(w: World) -> Scale:
    stored = await w.parts.api.get(w.context(), DEPLOYMENTS, "default", "web", subresource="scale")
    scale = stored.obj
    assert isinstance(scale, Scale)
    return scale


# Scale


@virtual
async def test_scale_is_read_and_written() -> None:
    async with world() as w:
        await create_deployment(w)
        scale = await get_scale(w)
        assert (scale.kind, scale.metadata.name, scale.spec.replicas) == ("Scale", "web", 3)
        assert (scale.status.replicas, scale.status.selector) == (0, "app=web")
        written = await w.admin.update(DEPLOYMENTS, replace(scale, spec=ScaleSpec(replicas=5)), subresource="scale")  # type: ignore[type-var]
        assert written.spec.replicas == 5  # type: ignore[attr-defined]
        scaled = await w.admin.get(DEPLOYMENTS, "web", "default")
        assert (scaled.spec.replicas, scaled.metadata.generation) == (5, 2)
        patched = await w.admin.patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 1}}, subresource="scale")
        assert patched.spec.replicas == 1


@virtual
async def test_scales_that_are_refused() -> None:
    async with world() as w:
        await create_deployment(w)
        scale = await get_scale(w)
        with pytest.raises(Invalid, match=r"spec\.replicas"):
            await w.admin.patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": -1}}, subresource="scale")
        await w.admin.patch(DEPLOYMENTS, "web", "default", {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(Conflict):
            await w.admin.update(DEPLOYMENTS, scale, subresource="scale")  # type: ignore[type-var]
        with pytest.raises(NotFound):
            await w.admin.patch(CONFIGMAPS, "c", "default", {}, subresource="scale")


# Collections


@virtual
async def test_a_collection_is_deleted_by_selector() -> None:
    async with world() as w:
        for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
            await w.admin.create(
                CONFIGMAPS, ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels={"app": app}))
            )
        selection = ListOptions(label_selector="app=web")
        gone = await w.parts.api.delete_collection(
            w.context(), CONFIGMAPS, "default", selection, DeleteOptions(dry_run=("All",))
        )
        assert len((await w.admin.list(CONFIGMAPS)).items) == 3
        gone = await w.parts.api.delete_collection(w.context(), CONFIGMAPS, "default", selection, DeleteOptions())
        assert [item.obj.metadata.name for item in gone.items] == ["a", "c"]
        assert [item.metadata.name for item in (await w.admin.list(CONFIGMAPS)).items] == ["b"]
