import pytest
from msgspec.structs import replace

from controlplane.apiserver.admission.tolerations import with_tolerations
from controlplane.registry.interface import WriteOptions
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, NAMESPACES, PODS, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.api.pod.spec import PodResourceClaim, PodSpec
from orch.api.serviceaccount import ServiceAccount
from orch.api.shared import Toleration
from orch.errors import Conflict, Forbidden, NotFound
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, new_pod, world


def config(namespace: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="c", namespace=namespace))


async def terminating_namespace(w: World) -> Namespace:
    await w.admin.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="going")))
    await w.admin.delete(NAMESPACES, "going")
    return await w.admin.get(NAMESPACES, "going")


# Namespaces


@virtual
async def test_a_namespace_must_exist() -> None:
    async with world() as w:
        with pytest.raises(NotFound, match='namespaces "none" not found'):
            await w.admin.create(CONFIGMAPS, config("none"))
        await w.admin.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="none")))
        await w.admin.create(CONFIGMAPS, config("none"))


@virtual
async def test_nothing_new_in_a_namespace_that_ends() -> None:
    async with world() as w:
        namespace = await terminating_namespace(w)
        assert (namespace.status.phase, namespace.spec.finalizers) == ("Terminating", ("kubernetes",))
        with pytest.raises(Forbidden, match="because it is being terminated") as refusal:
            await w.admin.create(CONFIGMAPS, config("going"))
        assert [cause.reason for cause in refusal.value.causes] == ["NamespaceTerminating"]


@virtual
async def test_a_namespace_goes_when_it_is_finalized() -> None:
    async with world() as w:
        namespace = await terminating_namespace(w)
        await w.admin.patch(NAMESPACES, "going", "", {"spec": {"finalizers": None}})
        assert (await w.admin.get(NAMESPACES, "going")).spec.finalizers == ("kubernetes",)
        stale = replace(namespace, metadata=replace(namespace.metadata, resource_version="1"))
        with pytest.raises(Conflict):
            await w.admin.update(NAMESPACES, stale, subresource="finalize")
        await w.admin.update(
            NAMESPACES, replace(namespace, spec=replace(namespace.spec, finalizers=None)), subresource="finalize"
        )
        with pytest.raises(NotFound):
            await w.admin.get(NAMESPACES, "going")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_the_systems_namespaces_stay(name: str) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            with pytest.raises(Forbidden, match="this namespace may not be deleted"):
                await w.admin.delete(NAMESPACES, name)

    scenario()


@virtual
async def test_a_namespace_that_ends_between_admission_and_write_is_noticed() -> None:
    """1. A create is admitted. 2. Before its transaction the namespace begins to end. 3. The create is refused."""
    async with world() as w:
        await w.admin.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="going")))
        commit, calls = w.backend.commit, []

        async def delayed(guards, writes):  # type: ignore[no-untyped-def]
            if not calls:
                calls.append(1)
                await w.admin.delete(NAMESPACES, "going")
            return await commit(guards, writes)

        w.backend.commit = delayed  # type: ignore[method-assign]
        with pytest.raises(Forbidden, match="being terminated"):
            await w.admin.create(CONFIGMAPS, config("going"))
        assert (await w.admin.list(CONFIGMAPS, "going")).items == ()


# Pods


@virtual
async def test_what_a_pod_gets_when_it_says_nothing() -> None:
    async with world(failing_node_toleration_s=7) as w:
        spec = (await w.admin.create(PODS, new_pod())).spec
        assert (spec.service_account_name, spec.service_account) == ("default", "default")
        assert (spec.priority, spec.preemption_policy) == (0, "PreemptLowerPriority")
        assert [(t.key, t.operator, t.effect, t.toleration_seconds) for t in spec.tolerations or ()] == [
            ("node.kubernetes.io/not-ready", "Exists", "NoExecute", 7),
            ("node.kubernetes.io/unreachable", "Exists", "NoExecute", 7),
        ]


@virtual
async def test_a_pod_replaced_by_its_manifest_keeps_what_admission_added() -> None:
    async with world() as w:
        named = {"service_account_name": "default", "automount_service_account_token": False}
        pod = new_pod(spec=named)
        before = (await w.admin.create(PODS, pod)).spec
        labelled = replace(pod, metadata=replace(pod.metadata, labels={"a": "b"}))
        after = await w.admin.update(PODS, labelled)
        assert (after.metadata.labels, after.spec) == ({"a": "b"}, before)


@virtual
async def test_a_named_service_account_must_exist() -> None:
    async with world() as w:
        pod = new_pod(spec={"service_account_name": "robot"})
        with pytest.raises(Forbidden, match='serviceaccount "robot" not found'):
            await w.admin.create(PODS, pod)
        await w.admin.create(SERVICEACCOUNTS, ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default")))
        assert (await w.admin.create(PODS, pod)).spec.service_account == "robot"


@pytest.mark.parametrize(
    ("present", "keys"),
    [
        ((), ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]),
        ((Toleration(key="node.kubernetes.io/not-ready", operator="Exists"),), ["node.kubernetes.io/unreachable"]),
        ((Toleration(operator="Exists"),), []),
        (
            (Toleration(key="node.kubernetes.io/not-ready", operator="Exists", effect="NoSchedule"),),
            ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"],
        ),
    ],
)
def test_what_a_user_tolerates_wins(present: tuple[Toleration, ...], keys: list[str]) -> None:
    tolerations = with_tolerations(PodSpec(tolerations=present), 2).tolerations or ()
    assert tolerations[: len(present)] == present
    assert [toleration.key for toleration in tolerations[len(present) :]] == keys


# Warnings


@virtual
async def test_fields_that_nothing_acts_on_are_named_once() -> None:
    async with world() as w:
        warnings: list[str] = []
        context = w.context(warnings=warnings)
        pod = new_pod(spec={"resource_claims": (PodResourceClaim(name="gpu"),)})
        created = await w.parts.api.create(context, PODS, "default", pod, WriteOptions())
        assert warnings == ["spec.resourceClaims: is not supported: containers of the pod do not start"]
        labelled = replace(created.obj, metadata=replace(created.obj.metadata, labels={"a": "b"}))
        await w.parts.api.update(context, PODS, "default", "pod", labelled, WriteOptions())
        assert len(warnings) == 1
