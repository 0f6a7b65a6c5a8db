"""metrics.k8s.io: made of the newest samples, with the labels of the node or pod; read only."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from controlplane.usage import SAMPLE_AGE_MAX, NodeSample, PodUsed, Used
from orch.api.kinds import NODEMETRICS, NODES, PODMETRICS, PODS
from orch.errors import MethodNotAllowed, NotFound
from orch.kit.clock import LoopClock
from tests.builders import NOW
from tests.unit.controlplane.world import NODEPLANE, World, new_node, new_pod, world


async def sampled(here: World, *, age: timedelta = timedelta(0), uid: str = "", on: str = "n1") -> None:
    """One node with one pod, 1.5 cores and 64 MiB each."""
    await here.admin.create(NODES, new_node("n1"))
    pod = await here.admin.create(PODS, new_pod("web", labels={"app": "web"}, spec={"node_name": on}))
    used = Used(1_500_000_000, 64 * 1024**2)
    pods = {("default", "web"): PodUsed(uid or pod.metadata.uid, {"app": used})}
    here.parts.usage.put("n1", NodeSample(LoopClock(NOW).now() - age, timedelta(seconds=15), used, pods))


async def test_nodes_and_pods_show_what_they_use() -> None:
    async with world() as here:
        await sampled(here)
        node = await here.admin.get(NODEMETRICS, "n1")
        pod = await here.admin.get(PODMETRICS, "web", "default")
    assert node.usage == {"cpu": "1500000000n", "memory": "65536Ki"}
    assert node.window == "15s"
    assert node.timestamp is not None
    assert [(c.name, c.usage["cpu"]) for c in pod.containers] == [("app", "1500000000n")]


async def test_selectors_go_by_the_labels_of_the_pod() -> None:
    async with world() as here:
        await sampled(here)
        found = await here.admin.list(PODMETRICS, "default", label_selector="app=web")
        others = await here.admin.list(PODMETRICS, "default", label_selector="app=db")
        elsewhere = await here.admin.list(PODMETRICS, "kube-system")
    assert [item.metadata.name for item in found.items] == ["web"]
    assert not others.items
    assert not elsewhere.items


async def test_an_old_sample_says_nothing() -> None:
    async with world() as here:
        await sampled(here, age=SAMPLE_AGE_MAX + timedelta(seconds=1))
        with pytest.raises(NotFound):
            await here.admin.get(NODEMETRICS, "n1")


async def test_a_sample_of_an_earlier_pod_of_that_name_does_not_count() -> None:
    async with world() as here:
        await sampled(here, uid="an-earlier-one")
        assert not (await here.admin.list(PODMETRICS, "default")).items


async def test_a_node_speaks_of_its_own_pods_only() -> None:
    async with world() as here:
        await sampled(here, on="n2")
        assert not (await here.admin.list(PODMETRICS, "default")).items


async def test_a_pod_that_has_ended_has_no_metrics() -> None:
    async with world() as here:
        await sampled(here)
        pod = await here.admin.get(PODS, "web", "default")
        ended = replace(pod, status=replace(pod.status, phase="Succeeded"))
        await here.client(NODEPLANE).update(PODS, ended, subresource="status")
        with pytest.raises(NotFound):
            await here.admin.get(PODMETRICS, "web", "default")


async def test_metrics_are_not_written_to() -> None:
    async with world() as here:
        await sampled(here)
        with pytest.raises(MethodNotAllowed):
            await here.admin.delete(NODEMETRICS, "n1")
