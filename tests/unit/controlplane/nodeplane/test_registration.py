"""Node objects: made once, with a pod range of their own, and what a person changed stays."""

import asyncio

import pytest

from controlplane.nodeplane.pod_cidr import NoPodCidrLeft, free_pod_cidr
from controlplane.nodeplane.registration import Registrar
from controlplane.nodeplane.settings import NodePlaneSettings
from orch.api.kinds import NODES
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from tests.unit.controlplane.nodeplane.world import api, informer

REPORTED = Node(metadata=ObjectMeta(labels={"kubernetes.io/os": "linux"}))


@pytest.mark.parametrize(
    ("taken", "free"),
    [
        ([], "10.244.0.0/24"),
        (["10.244.0.0/24", "10.244.1.0/24"], "10.244.2.0/24"),
        (["10.244.1.0/24"], "10.244.0.0/24"),
    ],
)
def test_the_lowest_free_range_is_given(taken: list[str], free: str) -> None:
    assert free_pod_cidr("10.244.0.0/16", 24, taken) == free


def test_no_range_is_left() -> None:
    with pytest.raises(NoPodCidrLeft, match=r"/24 networks of 10\.0\.0\.0/23"):
        free_pod_cidr("10.0.0.0/23", 24, ["10.0.0.0/24", "10.0.1.0/24"])


async def test_nodes_that_come_at_once_get_ranges_of_their_own() -> None:
    async with api() as (_, client, background):
        registrar = Registrar(client, await informer(client, NODES, background), NodePlaneSettings("c"))
        nodes = await asyncio.gather(*(registrar.register(f"n{number}", REPORTED) for number in range(20)))
    assert len({node.spec.pod_cidr for node in nodes}) == 20
    assert nodes[0].metadata.labels["kubernetes.io/hostname"] == "n0"


async def test_a_node_that_returns_keeps_its_range_and_what_people_set() -> None:
    async with api() as (admin, client, background):
        registrar = Registrar(client, await informer(client, NODES, background), NodePlaneSettings("c"))
        first = await registrar.register("n1", REPORTED)
        marks = {"metadata": {"labels": {"disk": "ssd"}}, "spec": {"unschedulable": True}}
        await admin.patch(NODES, "n1", "", marks)
        again = await registrar.register("n1", Node(metadata=ObjectMeta(labels={"kubernetes.io/arch": "arm64"})))
    assert again.spec.pod_cidr == first.spec.pod_cidr
    assert again.spec.unschedulable
    assert again.metadata.labels.items() >= {("disk", "ssd"), ("kubernetes.io/arch", "arm64")}


async def test_a_node_made_by_hand_gets_a_range() -> None:
    async with api() as (admin, client, background):
        await admin.create(NODES, Node(metadata=ObjectMeta(name="n1")))
        registrar = Registrar(client, await informer(client, NODES, background), NodePlaneSettings("c"))
        assert (await registrar.register("n1", REPORTED)).spec.pod_cidr == "10.244.0.0/24"
