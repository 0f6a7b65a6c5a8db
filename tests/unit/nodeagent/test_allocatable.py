"""What of a node is kept from its pods, and the cgroups above theirs, on every layout."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nodeagent.allocatable import (
    InvalidReserve,
    PodsCgroups,
    burstable_shares,
    eviction_reserve,
    pods_share,
    system_reserve,
    without,
)
from nodeagent.allocations import Holding
from nodeagent.pressure import DEFAULT_HARD, thresholds
from nodeagent.runtime.cgroups import Cgroups, Layout, weight
from orch.api.pod.status import PodStatus
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.machine import a_container, a_pod

CAPACITY = {"cpu": "2", "memory": f"{4 << 20}Ki", "ephemeral-storage": "1000Ki", "pods": "110"}


def test_allocatable_is_capacity_without_the_systems_part_and_evictions() -> None:
    share = pods_share(CAPACITY, system_reserve("cpu=500m,memory=1Gi,ephemeral-storage=100Ki"))
    assert share == {"cpu": "1500m", "memory": f"{3 << 20}Ki", "ephemeral-storage": "900Ki", "pods": "110"}
    left = without(share, eviction_reserve(CAPACITY, thresholds(DEFAULT_HARD)))
    assert left == share | {"memory": f"{(3 << 20) - (100 << 10)}Ki", "ephemeral-storage": "800Ki"}


@pytest.mark.parametrize("text", ["pods=3", "cpu", "cpu=much", "memory=-1Gi", "memory=5Gi"])
def test_a_reserve_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidReserve):
        pods_share(CAPACITY, system_reserve(text))


def pod_of(quality: str, cpu: str) -> Holding:
    pod = a_pod(a_container(resources=ResourceRequirements(requests={"cpu": cpu})))
    return Holding.of(replace(pod, status=PodStatus(qos_class=quality)))


def test_burstable_pods_weigh_together_what_they_request() -> None:
    assert burstable_shares([pod_of("Burstable", "500m"), pod_of("Burstable", "1"), pod_of("Guaranteed", "4")]) == 1536
    assert burstable_shares([]) == 2


def a_layout(folder: Path, kind: str) -> Layout:
    if kind == "v2":
        (folder / "cgroup.controllers").write_text("cpu memory pids")
        return Layout(unified=str(folder))
    for name in ("cpu", "memory", "pids"):
        (folder / name).mkdir()
    v1 = tuple((name, str(folder / name)) for name in ("cpu", "memory", "pids"))
    return Layout(v1, str(folder / "unified") if kind == "hybrid" else "")


@pytest.mark.parametrize("kind", ["v1", "hybrid", "v2"])
def test_the_cgroups_above_pods_are_set_alike_everywhere(tmp_path: Path, kind: str) -> None:
    made = PodsCgroups("node", Cgroups(a_layout(tmp_path, kind)))

    def read(below: str, v1: str, v2: str) -> Any:
        folder, _, file = v1.partition("/")
        path = f"node/kubepods/{below}"
        return (tmp_path / path / v2 if kind == "v2" else tmp_path / folder / path / file).read_text()

    def cpu(shares: int) -> str:
        return str(weight(shares)) if kind == "v2" else str(shares)

    made.limit({"cpu": "1500m", "memory": "1Mi"})
    made.pods_changed([pod_of("Burstable", "500m")])
    assert read("", "memory/memory.limit_in_bytes", "memory.max") == str(1 << 20)
    assert read("", "cpu/cpu.shares", "cpu.weight") == cpu(1536)
    assert read("besteffort", "cpu/cpu.shares", "cpu.weight") == cpu(2)
    assert read("burstable", "cpu/cpu.shares", "cpu.weight") == cpu(512)
    made.pods_changed([])
    assert read("burstable", "cpu/cpu.shares", "cpu.weight") == cpu(2)
