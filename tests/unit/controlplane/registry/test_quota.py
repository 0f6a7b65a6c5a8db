"""ResourceQuotas are never exceeded, and say what a refused request asked for."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.quota import CHARGES
from controlplane.registry.quota_tally import QuotaTally
from controlplane.store.memory import MemoryBackend
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, NAMESPACES, PERSISTENTVOLUMECLAIMS, PODS, RESOURCEQUOTAS, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace, NamespaceSpec
from orch.api.pod.container import Container
from orch.api.resourcequota import ResourceQuota, ResourceQuotaSpec
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.api.shared import ResourceRequirements
from orch.errors import Forbidden
from tests.builders import NOW
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, new_pod, world
from tests.unit.orch.api.objects import made


async def with_quota(w: World, hard: dict[str, Any], **spec: Any) -> None:
    quota = ResourceQuota(metadata=ObjectMeta(name="q", namespace="default"), spec=ResourceQuotaSpec(hard=hard, **spec))
    await w.admin.create(RESOURCEQUOTAS, quota)


def pod(name: str, requests: dict[str, Any] | None = None, limits: dict[str, Any] | None = None, **spec: Any) -> Any:
    container = Container(name="app", image="app:1", resources=ResourceRequirements(requests=requests, limits=limits))
    return new_pod(name, spec={"containers": (container,), **spec})


def config(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


@virtual
async def test_what_exceeds_is_refused_with_what_was_asked_and_used() -> None:
    async with world() as w:
        await with_quota(w, {"requests.cpu": "1", "limits.memory": "1Gi", "pods": 10})
        asked = {"cpu": "600m"}, {"cpu": 1, "memory": "512Mi"}
        await w.admin.create(PODS, pod("one", *asked))
        with pytest.raises(Forbidden) as refusal:
            await w.admin.create(PODS, pod("two", *asked))
        assert refusal.value.message == (
            'pods "two" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, '
            "limited: requests.cpu=1"
        )
        with pytest.raises(Forbidden, match=r"requested: limits.memory=1Gi, used: limits.memory=512Mi, limited"):
            await w.admin.create(PODS, pod("three", {"cpu": "1m"}, {"memory": "1Gi"}))
        await w.admin.create(PODS, pod("four", {"cpu": "400m"}, {"memory": "512Mi"}))


@virtual
async def test_what_is_counted_must_be_specified() -> None:
    async with world() as w:
        await with_quota(w, {"requests.cpu": "1", "limits.memory": "1Gi"})
        with pytest.raises(
            Forbidden, match=r"failed quota: q: must specify limits.memory for: app; requests.cpu for: app"
        ):
            await w.admin.create(PODS, pod("bare"))


@virtual
async def test_what_is_gone_or_over_is_free_again() -> None:
    async with world() as w:
        await with_quota(w, {"pods": 1})
        created = await w.admin.create(PODS, pod("one"))
        with pytest.raises(Forbidden, match="exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
            await w.admin.create(PODS, pod("two"))
        await w.admin.update(
            PODS, replace(created, status=replace(created.status, phase="Succeeded")), subresource="status"
        )
        await w.admin.create(PODS, pod("two"))
        await w.admin.delete(PODS, "two", "default")
        await w.admin.create(PODS, pod("three"))


@virtual
async def test_any_kind_can_be_counted() -> None:
    async with world() as w:
        await with_quota(w, {"count/configmaps": 1, "services.nodeports": 1, "requests.storage": "1Gi"})
        await w.admin.create(CONFIGMAPS, config("one"))
        with pytest.raises(Forbidden, match=r"requested: count/configmaps=1, used: count/configmaps=1"):
            await w.admin.create(CONFIGMAPS, config("two"))
        ports = tuple(ServicePort(name=f"p{number}", port=number) for number in (80, 81))
        service = Service(metadata=ObjectMeta(name="s", namespace="default"), spec=ServiceSpec(ports=ports))
        with pytest.raises(Forbidden, match=r"requested: services.nodeports=2, used: services.nodeports=0, limited"):
            await w.admin.create(SERVICES, replace(service, spec=replace(service.spec, type="NodePort")))
        created = await w.admin.create(SERVICES, service)
        with pytest.raises(Forbidden, match="exceeded quota"):
            await w.admin.update(SERVICES, replace(created, spec=replace(created.spec, type="NodePort")))
        claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}
        with pytest.raises(Forbidden, match=r"requested: requests.storage=2Gi, used: requests.storage=0, limited"):
            await w.admin.create(PERSISTENTVOLUMECLAIMS, made(PERSISTENTVOLUMECLAIMS, claim))


@virtual
async def test_scopes_narrow_what_a_quota_looks_at() -> None:
    async with world() as w:
        await with_quota(w, {"pods": 0}, scopes=("BestEffort",))
        with pytest.raises(Forbidden, match="exceeded quota"):
            await w.admin.create(PODS, pod("best-effort"))
        await w.admin.create(PODS, pod("burstable", {"cpu": "1m"}))
        await w.admin.create(CONFIGMAPS, config("one"))


@virtual
async def test_many_at_once_never_exceed_it_and_none_is_refused_for_the_others() -> None:
    async with world() as w:
        await with_quota(w, {"pods": 20})
        results = await asyncio.gather(
            *(w.admin.create(PODS, pod(f"p{number}")) for number in range(40)), return_exceptions=True
        )
        refusals = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(refusal, Forbidden) for refusal in refusals)
        assert (len(refusals), len((await w.admin.list(PODS)).items)) == (20, 20)


@virtual
async def test_two_servers_together_never_exceed_it() -> None:
    backend = MemoryBackend()
    async with world(backend) as one, world(backend) as other:
        await with_quota(one, {"pods": 3})
        await other.parts.cache.fresh()
        results = await asyncio.gather(
            *((one, other)[number % 2].admin.create(PODS, pod(f"p{number}")) for number in range(10)),
            return_exceptions=True,
        )
        assert all(isinstance(result, Forbidden) for result in results if isinstance(result, Exception))
        assert len((await one.admin.list(PODS)).items) == 3


@virtual
async def test_a_dry_run_is_checked_and_charges_nothing() -> None:
    async with world() as w:
        await with_quota(w, {"pods": 1})
        await w.admin.create(PODS, pod("one"), dry_run=True)
        await w.admin.create(PODS, pod("one"))
        with pytest.raises(Forbidden, match="exceeded quota"):
            await w.admin.create(PODS, pod("two"), dry_run=True)


@virtual
async def test_the_key_of_a_namespace_goes_with_it() -> None:
    async with world() as w:
        await w.admin.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
        meta = ObjectMeta(name="q", namespace="team")
        await w.admin.create(
            RESOURCEQUOTAS, ResourceQuota(metadata=meta, spec=ResourceQuotaSpec(hard={"configmaps": 9}))
        )
        await w.admin.create(CONFIGMAPS, ConfigMap(metadata=ObjectMeta(name="c", namespace="team")))
        assert f"{CHARGES}team" in w.parts.cache.internal
        await w.admin.delete(CONFIGMAPS, "c", "team")
        await w.admin.delete(RESOURCEQUOTAS, "q", "team")
        await w.admin.delete(NAMESPACES, "team")
        going = await w.admin.get(NAMESPACES, "team")
        await w.admin.update(NAMESPACES, replace(going, spec=NamespaceSpec(finalizers=())), subresource="finalize")
        assert f"{CHARGES}team" not in w.parts.cache.internal


def test_a_quota_that_is_gone_is_not_remembered() -> None:
    tally = QuotaTally()

    def quota(name: str) -> ResourceQuota:
        return ResourceQuota(metadata=ObjectMeta(name=name, namespace="n"), spec=ResourceQuotaSpec(hard={"pods": 1}))

    for name in ("gone", "kept"):
        tally.used(quota(name), PODS, (), NOW)
    tally.keep(lambda namespace, name: name == "kept")
    assert [tally.knows(quota(name), PODS) for name in ("gone", "kept")] == [False, True]
