"""The Node object that an agent reports."""

from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.node_status import Available, NodeShare, capacity, node_object, read_available, read_machine
from orch.api.node import Node
from tests.node_session import MACHINE, PLENTY


def describe(available: Available = PLENTY, not_ready: str = "") -> Node:
    return node_object("n1", "10.0.0.1", MACHINE, available, not_ready=not_ready, runtime="crun://1")


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
    ("available", "type_", "reason"),
    [
        (replace(PLENTY, memory_bytes=50 << 20), "MemoryPressure", "KubeletHasInsufficientMemory"),
        (replace(PLENTY, disk=0.01), "DiskPressure", "KubeletHasDiskPressure"),
        (replace(PLENTY, inodes=0.01), "DiskPressure", "KubeletHasDiskPressure"),
        (replace(PLENTY, pids=0.01), "PIDPressure", "KubeletHasInsufficientPID"),
    ],
)
def test_pressure(available: Available, type_: str, reason: str) -> None:
    assert conditions(describe(available))[type_] == ("True", reason)


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


def test_what_is_left_is_read_from_this_machine(tmp_path: Path) -> None:
    left = read_available(tmp_path, memory_bytes=1)
    assert 0 <= left.disk <= 1
    assert 0 <= left.pids <= 1
