"""LimitRanges: defaults, bounds, and how a refusal reads."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.apiserver.admission.limit_ranger import claim_problems, pod_problems
from orch.api.kinds import LIMITRANGES, PERSISTENTVOLUMECLAIMS, PODS
from orch.errors import Forbidden, NotFound
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, world
from tests.unit.orch.api.objects import container, made, pod


def items(*plain: dict[str, Any]) -> Any:
    return made(LIMITRANGES, {"spec": {"limits": list(plain)}}).spec.limits


async def with_limits(w: World, *plain: dict[str, Any]) -> None:
    await w.admin.create(LIMITRANGES, made(LIMITRANGES, {"spec": {"limits": list(plain)}}))


@virtual
async def test_what_a_container_does_not_say_is_filled() -> None:
    async with world() as w:
        await with_limits(
            w, {"type": "Container", "default": {"cpu": 1, "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}
        )
        init = container(name="init", resources={"limits": {"cpu": "50m"}})
        created = await w.admin.create(PODS, pod(initContainers=[init]))
        app, setup = created.spec.containers[0].resources, (created.spec.init_containers or ())[0].resources
        assert (app.requests, app.limits) == ({"cpu": "100m", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})
        assert (setup.requests, setup.limits) == ({"cpu": "50m", "memory": "1Gi"}, {"cpu": "50m", "memory": "1Gi"})
        assert (created.metadata.annotations or {})["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu, memory request for container app; cpu, memory limit for container app; "
            "memory request for init container init; memory limit for init container init"
        )


@virtual
async def test_a_refusal_names_every_bound() -> None:
    async with world() as w:
        await with_limits(w, {"type": "Pod", "max": {"cpu": 1, "memory": "1Gi"}})
        big = pod(container(resources={"limits": {"cpu": 2, "memory": "2Gi"}}))
        with pytest.raises(Forbidden) as refusal:
            await w.admin.create(PODS, big)
        assert refusal.value.message == (
            'pods "web" is forbidden: [maximum cpu usage per Pod is 1, but limit is 2, '
            "maximum memory usage per Pod is 1Gi, but limit is 2Gi]"
        )


@pytest.mark.parametrize(
    ("item", "resources", "problems"),
    [
        ({"min": {"cpu": "100m"}}, {"requests": {"cpu": "100m"}}, []),
        ({"min": {"cpu": "100m"}}, {}, ["minimum cpu usage per Container is 100m.  No request is specified"]),
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            ["minimum cpu usage per Container is 100m, but request is 50m"],
        ),
        ({"max": {"cpu": 1}}, {}, ["maximum cpu usage per Container is 1.  No limit is specified"]),
        (
            {"max": {"cpu": 1}},
            {"limits": {"cpu": "1500m"}},
            ["maximum cpu usage per Container is 1, but limit is 1500m"],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": 2}},
            {"requests": {"cpu": 1}, "limits": {"cpu": 3}},
            ["cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"],
        ),
        (
            {"maxLimitRequestRatio": {"memory": 2}},
            {"requests": {"memory": "1Gi"}},
            ["memory max limit to request ratio per Container is 2, but no limit is specified or limit is 0"],
        ),
    ],
)  # fmt: skip
def test_bounds_of_containers(item: dict[str, Any], resources: dict[str, Any], problems: list[str]) -> None:
    bounds = items({"type": "Container", **item})
    assert list(pod_problems(pod(container(resources=resources)), bounds)) == problems


def test_bounds_of_claims() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    claim = made(PERSISTENTVOLUMECLAIMS, {"spec": spec})
    bounds = items({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "4Gi"}})
    assert list(claim_problems(claim, bounds)) == [
        "maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi"
    ]


@virtual
async def test_a_claim_may_lose_its_finalizers_whatever_the_bounds_are_now() -> None:
    async with world() as w:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
        kept = {"name": "data", "namespace": "default", "finalizers": ["example.com/kept"]}
        claim = await w.admin.create(
            PERSISTENTVOLUMECLAIMS, made(PERSISTENTVOLUMECLAIMS, {"spec": spec, "metadata": kept})
        )
        await with_limits(w, {"type": "PersistentVolumeClaim", "max": {"storage": "4Gi"}})
        labelled = replace(claim, metadata=replace(claim.metadata, labels={"a": "b"}))
        await w.admin.update(PERSISTENTVOLUMECLAIMS, labelled)
        await w.admin.delete(PERSISTENTVOLUMECLAIMS, "data", "default")
        going = await w.admin.get(PERSISTENTVOLUMECLAIMS, "data", "default")
        await w.admin.update(PERSISTENTVOLUMECLAIMS, replace(going, metadata=replace(going.metadata, finalizers=None)))
        with pytest.raises(NotFound):
            await w.admin.get(PERSISTENTVOLUMECLAIMS, "data", "default")
