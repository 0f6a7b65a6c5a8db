"""The Node object that an agent reports."""

from pathlib import Path

import pytest

from nodeagent.node_status import NodeShare, capacity, container_images, node_object, read_machine
from nodeagent.runtime.interface import Image, ImageConfig
from orch.api.node import Node
from tests.node_session import MACHINE


def describe(*pressures: str, not_ready: str = "") -> Node:
    return node_object("n1", "10.0.0.1", MACHINE, not_ready=not_ready, runtime="crun://1", pressures=pressures)


def conditions(node: Node) -> dict[str, tuple[str, str | None]]:
    return {c.type: (c.status, c.reason) for c in node.status.conditions or ()}


def test_a_healthy_node() -> None:
    node = describe()
    assert conditions(node) == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }
    assert node.metadata.labels["kubernetes.io/arch"] == "amd64"
    assert [(a.type, a.address) for a in node.status.addresses] == [("InternalIP", "10.0.0.1"), ("Hostname", "n1")]


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("MemoryPressure", "KubeletHasInsufficientMemory"),
        ("DiskPressure", "KubeletHasDiskPressure"),
        ("PIDPressure", "KubeletHasInsufficientPID"),
    ],
)
def test_pressure(type_: str, reason: str) -> None:
    assert conditions(describe(type_))[type_] == ("True", reason)


def test_the_largest_images_are_told_by_digest_first() -> None:
    images = [
        Image(f"sha256:{n}", (f"docker.io/library/x:{n}", f"docker.io/library/x@sha256:{n}"), "", n, ImageConfig(), ())
        for n in range(60)
    ]
    told = container_images(images) or ()
    assert len(told) == 50
    assert (told[0].names, told[0].size_bytes) == (("docker.io/library/x@sha256:59", "docker.io/library/x:59"), 59)


def test_a_node_that_takes_no_pods_yet_says_why() -> None:
    ready = next(c for c in describe(not_ready="no network").status.conditions or () if c.type == "Ready")
    assert (ready.status, ready.reason, ready.message) == ("False", "KubeletNotReady", "no network")


def test_capacity_is_the_nodes_share_of_the_machine(tmp_path: Path) -> None:
    machine = read_machine(NodeShare(cpus=0.5, memory_bytes=256 << 20), tmp_path)
    amounts = capacity(machine)
    assert (amounts["cpu"], amounts["memory"], amounts["pods"]) == ("500m", "262144Ki", "110")


def test_a_share_beyond_the_machine_is_the_machine(tmp_path: Path) -> None:
    whole = read_machine(NodeShare(), tmp_path)
    assert read_machine(NodeShare(cpus=1e6, memory_bytes=1 << 60), tmp_path) == whole
