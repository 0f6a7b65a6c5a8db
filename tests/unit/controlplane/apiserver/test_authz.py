import pytest

from controlplane.apiserver.authz import SystemAuthorizer, node_name, selector_refusal
from controlplane.registry.interface import RequestContext, User
from orch.api.kinds import CONFIGMAPS, NODES, PODS
from orch.client.client import PatchType
from orch.errors import Forbidden
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import new_node, new_pod, world

NODE = User("system:node:n1", ("system:nodes",))
NOBODY = User("eve", ("system:authenticated",))


async def refusal(user: User, verb: str, group: str, resource: str, *rest: str) -> str:
    subresource, namespace, name = (*rest, "", "", "")[:3]
    authorizer = SystemAuthorizer(lambda namespace, name: {"mine": "n1", "other": "n2"}.get(name, ""))
    return await authorizer(RequestContext(user, "r"), verb, group, resource, subresource, namespace, name)


@pytest.mark.parametrize(
    "user",
    [
        User("anybody", ("system:masters",)),
        User("system:kube-scheduler"),
        User("system:kube-controller-manager"),
        User("system:orch-nodeplane"),
    ],
)
async def test_administrators_and_the_servers_parts_may_do_everything(user: User) -> None:
    assert await refusal(user, "delete", "apps", "deployments", "", "default", "web") == ""
    assert await refusal(user, "create", "", "pods", "exec", "default", "mine") == ""


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (("get", "", "nodes", "", "", "n1"), True),
        (("get", "", "nodes", "status", "", "n1"), True),
        (("patch", "", "nodes", "", "", "n1"), False),
        (("patch", "", "nodes", "status", "", "n1"), True),
        (("get", "", "nodes", "", "", "n2"), False),
        (("patch", "", "nodes", "", "", "n2"), False),
        (("delete", "", "nodes", "", "", "n1"), False),
        (("update", "", "nodes", "", "", "n1"), False),
        (("list", "", "nodes", "", "", ""), False),
        (("get", "", "pods", "", "default", "mine"), True),
        (("get", "", "pods", "", "default", "other"), False),
        (("get", "", "pods", "", "default", "absent"), False),
        (("get", "", "pods", "log", "default", "mine"), False),
        (("delete", "", "pods", "", "default", "mine"), False),
        (("create", "", "pods", "exec", "default", "mine"), False),
        (("list", "", "pods", "", "", ""), True),
        (("get", "", "secrets", "", "default", "mine"), False),
        (("get", "apps", "nodes", "", "", "n1"), False),
    ],
)
async def test_a_node_has_its_own_things_only(request_: tuple[str, ...], allowed: bool) -> None:
    assert (await refusal(NODE, *request_) == "") is allowed


@pytest.mark.parametrize(
    "user", [NOBODY, User("system:node:n1"), User("n1", ("system:nodes",)), User("system:masters")]
)
async def test_everybody_else_may_do_nothing(user: User) -> None:
    assert await refusal(user, "get", "", "nodes", "", "", "n1")
    assert await refusal(user, "list", "", "namespaces")


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("get", "/healthz", True),
        ("get", "/livez/etcd", True),
        ("get", "/readyz", True),
        ("get", "/version", True),
        ("get", "/metrics", False),
        ("get", "/versions", False),
        ("post", "/healthz", False),
    ],
)
async def test_health_is_open_to_all(verb: str, path: str, allowed: bool) -> None:
    assert (await refusal(NOBODY, verb, "", path) == "") is allowed


def test_a_node_lists_with_its_own_selector() -> None:
    assert selector_refusal(NODE, "spec.nodeName=n1") == ""
    assert selector_refusal(NODE, "spec.nodeName=n2")
    assert selector_refusal(NODE, "spec.nodeName!=n1")
    assert selector_refusal(NODE, "")
    assert selector_refusal(NOBODY, "") == ""


def test_a_node_needs_the_group() -> None:
    assert node_name(NODE) == "n1"
    assert node_name(User("system:node:n1")) == ""


@virtual
async def test_the_chain_asks_for_every_verb() -> None:
    async with world() as w:
        await w.admin.create(PODS, new_pod())
        eve = w.client(NOBODY)
        calls = (
            eve.get(PODS, "pod", "default"),
            eve.list(PODS),
            eve.create(PODS, new_pod("p2")),
            eve.update(PODS, new_pod()),
            eve.patch(PODS, "pod", "default", {}),
            eve.delete(PODS, "pod", "default"),
            eve.create_subresource(PODS, "pod", "default", "eviction", {}),
            eve.create_subresource(PODS, "pod", "default", "binding", {}),
        )
        for call in calls:
            with pytest.raises(Forbidden):
                await call
        with pytest.raises(Forbidden):
            async with eve.watch(PODS, resource_version="0"):
                pytest.fail("the watch was let in")
        assert len((await w.admin.list(PODS)).items) == 1


@virtual
async def test_a_refusal_reads_as_in_kubernetes() -> None:
    async with world() as w:
        with pytest.raises(Forbidden) as refused:
            await w.client(NOBODY).get(PODS, "web", "default")
        assert refused.value.message.startswith(
            'pods "web" is forbidden: User "eve" cannot get resource "pods" in API group "" in the namespace "default"'
        )
        with pytest.raises(Forbidden) as refused:
            await w.parts.api.authorize(w.context(NOBODY), "get", "", "/metrics")
        assert refused.value.message.startswith('forbidden: User "eve" cannot get path "/metrics"')


@virtual
async def test_a_node_through_the_chain() -> None:
    async with world() as w:
        for name in ("n1", "n2"):
            await w.admin.create(NODES, new_node(name))
        for name, place in (("a", "n1"), ("b", "n2")):
            await w.admin.create(PODS, new_pod(name))
            await w.admin.create_subresource(PODS, name, "default", "binding", {"target": {"name": place}})
        agent = w.client(NODE)
        mine = await agent.list(PODS, field_selector="spec.nodeName=n1")
        assert [pod.metadata.name for pod in mine.items] == ["a"]
        assert (await agent.get(PODS, "a", "default")).spec.node_name == "n1"
        await agent.patch(NODES, "n1", "", {"status": {"phase": "x"}}, patch_type=PatchType.MERGE, subresource="status")
        for call in (
            agent.list(PODS),
            agent.get(PODS, "b", "default"),
            agent.get(NODES, "n2"),
            agent.patch(NODES, "n1", "", {"spec": {"unschedulable": False}}, patch_type=PatchType.MERGE),
            agent.list(CONFIGMAPS, field_selector="spec.nodeName=n1"),
        ):
            with pytest.raises(Forbidden):
                await call
