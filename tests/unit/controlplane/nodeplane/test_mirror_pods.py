"""Mirror pods follow the static pods that nodes report."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest
from msgspec.structs import replace

from controlplane.nodeplane.mirror_pods import CreateMirror, DeleteMirror, MirrorPods, decide, mirror_of
from controlplane.nodeplane.pod_status_writer import PodReport, PodStatusWriter
from orch.api.kinds import NODES, PODS
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.status import PodStatus
from orch.client.client import Client
from orch.errors import NotFound
from tests.builders import NOW
from tests.unit.controlplane.nodeplane.world import api, eventually, informer

NODE = Node(metadata=ObjectMeta(name="n1", uid="node-uid"))


def a_static(uid: str = "s1", image: str = "app:1", namespace: str = "default") -> Pod:
    annotations = {"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": uid}
    meta = ObjectMeta(name="web-n1", namespace=namespace, uid=uid, labels={"a": "b"}, annotations=annotations)
    return Pod(metadata=meta, spec=PodSpec(containers=(Container(name="app", image=image),), node_name="n1"))


def stored(static: Pod, node: Node = NODE) -> Pod:
    pod = mirror_of(static, node)
    return replace(pod, metadata=replace(pod.metadata, uid="mirror-uid"))


def test_a_mirror_names_its_static_pod_and_belongs_to_the_node() -> None:
    meta = mirror_of(a_static(), NODE).metadata
    assert (meta.name, meta.namespace, meta.labels) == ("web-n1", "default", {"a": "b"})
    assert meta.annotations == {
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.hash": "s1",
        "kubernetes.io/config.mirror": "s1",
    }
    (owner,) = meta.owner_references or ()
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("Node", "n1", "node-uid", True)


def test_what_is_done_about_a_mirror() -> None:
    mirror = stored(a_static())
    dying = replace(mirror, metadata=replace(mirror.metadata, deletion_timestamp=NOW))
    reborn = replace(NODE, metadata=replace(NODE.metadata, uid="other"))
    gone = DeleteMirror("mirror-uid")
    assert decide(a_static(), None, NODE) == CreateMirror(mirror_of(a_static(), NODE))
    assert decide(a_static(), None, None) is None
    assert decide(a_static(), mirror, NODE) is None
    assert decide(None, mirror, NODE) == gone
    assert decide(a_static("s2"), mirror, NODE) == gone
    assert decide(a_static(), dying, NODE) == gone
    assert decide(a_static(), mirror, reborn) == gone
    assert decide(None, None, NODE) is None


@dataclass
class Plane:
    admin: Client
    mirrors: MirrorPods

    async def mirror(self) -> Pod | None:
        try:
            return await self.admin.get(PODS, "web-n1", "default")
        except NotFound:
            return None

    async def shown(self) -> Pod:
        found: list[Pod] = []

        async def is_there() -> bool:
            pod = await self.mirror()
            found[:] = [pod] if pod is not None else []
            return pod is not None

        await eventually(is_there)
        return found[0]

    async def gone(self) -> None:
        async def is_gone() -> bool:
            return await self.mirror() is None

        await eventually(is_gone)

    def report(self, phase: str) -> bool:
        status = msgspec.convert({"phase": phase, "podIP": "10.244.0.9"}, PodStatus)
        return self.mirrors.take(PodReport("n1", "s1", "default", "web-n1", status, False))


@asynccontextmanager
async def plane() -> AsyncIterator[Plane]:
    async with api() as (admin, client, background):
        pods, nodes = await informer(client, PODS, background), await informer(client, NODES, background)
        node = await admin.create(NODES, Node(metadata=ObjectMeta(name="n1")))
        statuses = PodStatusWriter(client, pods)
        mirrors = MirrorPods(client, pods, nodes, statuses)
        background.create_task(statuses.run())
        background.create_task(mirrors.run())
        await nodes.reached(int(node.metadata.resource_version))
        yield Plane(admin, mirrors)


async def test_a_static_pod_is_shown_with_its_status_and_goes_when_it_goes() -> None:
    async with plane() as p:
        p.mirrors.report("n1", [a_static()])
        assert p.report("Running")
        mirror = await p.shown()
        assert mirror.spec.node_name == "n1"

        async def is_running() -> bool:
            return (await p.shown()).status.phase == "Running"

        await eventually(is_running)
        p.mirrors.report("n1", [])
        await p.gone()


async def test_a_deleted_mirror_is_made_anew_with_the_status_that_is_known() -> None:
    async with plane() as p:
        p.mirrors.report("n1", [a_static()])
        p.report("Running")
        first = await p.shown()
        await p.admin.delete(PODS, "web-n1", "default")

        async def is_new() -> bool:
            pod = await p.mirror()
            return pod is not None and pod.metadata.uid != first.metadata.uid and pod.status.phase == "Running"

        await eventually(is_new)
        again = await p.shown()
        assert p.mirrors.static_uid("n1", again.metadata.uid) == "s1"
        assert p.mirrors.static_uid("n2", again.metadata.uid) == again.metadata.uid


async def test_a_changed_static_pod_is_another_mirror() -> None:
    async with plane() as p:
        p.mirrors.report("n1", [a_static()])
        await p.shown()
        p.mirrors.report("n1", [a_static("s2", "app:2")])

        async def is_new() -> bool:
            pod = await p.mirror()
            return pod is not None and pod.spec.containers[0].image == "app:2"

        await eventually(is_new)
        assert not p.report("Running")


async def test_a_mirror_of_nothing_goes_once_the_node_has_spoken() -> None:
    async with plane() as p:
        node = await p.admin.get(NODES, "n1")
        await p.admin.create(PODS, mirror_of(a_static(), node))
        await asyncio.sleep(0.05)
        assert await p.mirror() is not None
        p.mirrors.report("n1", [])
        await p.gone()


RIGHTS_OF_OTHERS: tuple[dict[str, object], ...] = (
    {"serviceAccountName": "admin"},
    {"serviceAccount": "admin"},
    {"imagePullSecrets": [{"name": "s"}]},
    {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
    {"volumes": [{"name": "v", "configMap": {"name": "c"}}]},
    {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]},
    {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
)


@pytest.mark.parametrize("named", RIGHTS_OF_OTHERS)
async def test_what_a_node_says_to_run_with_the_rights_of_others_is_not_shown(named: dict[str, object]) -> None:
    plain = PODS.codec.to_plain(a_static())
    plain["spec"] |= named
    plain["metadata"] |= {"name": "greedy", "uid": "greedy"}
    async with plane() as p:
        p.mirrors.report("n1", [PODS.codec.from_plain(plain), a_static()])
        await p.shown()
        await asyncio.sleep(0.05)
        assert [pod.metadata.name for pod in (await p.admin.list(PODS)).items] == ["web-n1"]


@pytest.mark.parametrize("uid", ["s2", ""])
async def test_reports_of_other_pods_are_not_taken(uid: str) -> None:
    async with plane() as p:
        p.mirrors.report("n1", [a_static()])
        assert not p.mirrors.take(PodReport("n1", uid, "default", "web-n1", PodStatus(), False))
