"""Whether a pod may have more of its node, and that nobody forgets what it has."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from nodeagent.allocations import Allocations, sized, sizes_of
from nodeagent.pod_events import ResizeDecided
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.machine import a_container, a_pod

NODE = {"cpu": "4", "memory": "4Gi"}


def sized_container(cpu: str, name: str = "app", memory: str = "1Gi", **fields: Any) -> Container:
    return a_container(name, resources=ResourceRequirements(requests={"cpu": cpu, "memory": memory}), **fields)


def sized_pod(uid: str, cpu: str, memory: str = "1Gi", **spec: Any) -> Pod:
    pod = a_pod(sized_container(cpu, memory=memory), **spec)
    return replace(pod, metadata=ObjectMeta(name=uid, namespace="default", uid=uid))


class Asked:
    """The answers of one pod."""

    def __init__(self, allocations: Allocations) -> None:
        self._allocations = allocations
        self.answers: list[ResizeDecided] = []

    def asks(self, pod: Pod) -> str:
        self._allocations.ask(pod, self.answers.append)
        return self.answers[-1].reason


def test_what_fits_is_set_aside_and_what_does_not_waits_or_never_comes(tmp_path: Path) -> None:
    allocations = Allocations(NODE, tmp_path)
    for pod in (sized_pod("a", "1"), sized_pod("b", "2")):
        assert allocations.admitted(pod) is pod
    a = Asked(allocations)
    assert a.asks(sized_pod("a", "5")) == "Infeasible"
    assert "cpu, requested: 5000, capacity: 4000" in a.answers[-1].message
    assert a.asks(sized_pod("a", "3")) == "Deferred"
    assert "cpu, requested: 3000, used: 2000, capacity: 4000" in a.answers[-1].message
    assert a.asks(sized_pod("a", "2")) == ""
    assert Asked(allocations).asks(sized_pod("b", "2500m")) == "Deferred"


def test_only_what_grows_needs_room(tmp_path: Path) -> None:
    allocations = Allocations(NODE, tmp_path)
    for pod in (sized_pod("a", "1", "3Gi"), sized_pod("b", "1", "3Gi")):
        allocations.admitted(pod)
    assert Asked(allocations).asks(sized_pod("a", "2", "2Gi")) == ""


def test_a_deferred_resize_gets_the_room_that_appears_the_most_important_first(tmp_path: Path) -> None:
    allocations = Allocations(NODE, tmp_path)
    for uid in ("a", "b", "c"):
        allocations.admitted(sized_pod(uid, "1"))
    a, b = Asked(allocations), Asked(allocations)
    assert a.asks(sized_pod("a", "3")) == "Deferred"
    assert b.asks(sized_pod("b", "3", priority=1000)) == "Deferred"
    allocations.release("c")
    assert [answer.reason for answer in b.answers] == ["Deferred", ""]
    assert [answer.reason for answer in a.answers] == ["Deferred"]
    assert b.asks(sized_pod("b", "1")) == ""
    assert a.answers[-1].reason == ""


def test_a_resize_that_is_no_longer_wanted_waits_no_longer(tmp_path: Path) -> None:
    allocations = Allocations(NODE, tmp_path)
    for uid in ("a", "b"):
        allocations.admitted(sized_pod(uid, "2"))
    a = Asked(allocations)
    assert a.asks(sized_pod("a", "3")) == "Deferred"
    assert a.asks(sized_pod("a", "2")) == ""
    allocations.release("b")
    assert [answer.reason for answer in a.answers] == ["Deferred", ""]


def test_what_was_set_aside_survives_the_agent(tmp_path: Path) -> None:
    allocations = Allocations(NODE, tmp_path)
    for uid in ("a", "b", "gone"):
        allocations.admitted(sized_pod(uid, "1"))
    assert Asked(allocations).asks(sized_pod("a", "2")) == ""
    allocations.release("gone")

    successor = Allocations(NODE, tmp_path)
    wanted = sized_pod("a", "4")
    assert sizes_of(successor.admitted(wanted)) == sizes_of(sized_pod("a", "2"))
    assert sizes_of(successor.admitted(sized_pod("gone", "3"))) == sizes_of(sized_pod("gone", "3"))
    successor.forget_others()
    assert sizes_of(Allocations(NODE, tmp_path).admitted(sized_pod("b", "3"))) == sizes_of(sized_pod("b", "3"))


def test_overhead_and_init_containers_count(tmp_path: Path) -> None:
    allocations = Allocations(NODE, tmp_path)
    init = (sized_container("3", "first"),)
    allocations.admitted(sized_pod("a", "1", overhead={"cpu": "500m"}, init_containers=init))
    allocations.admitted(sized_pod("b", "100m"))
    assert Asked(allocations).asks(sized_pod("b", "600m")) == "Deferred"
    assert Asked(allocations).asks(sized_pod("b", "500m")) == ""


def test_sized_changes_nothing_but_sizes() -> None:
    pod = sized_pod("a", "1")
    assert sized(pod, sizes_of(pod)) is pod
    larger = sized(pod, {"app": ResourceRequirements(requests={"cpu": "2"})})
    assert larger.spec.containers[0].resources.requests == {"cpu": "2"}
    assert larger.spec.containers[0].name == "app"
