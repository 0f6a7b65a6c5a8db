"""The resize of a pod, step by step."""

from typing import Any

from msgspec.structs import replace

from nodeagent.allocations import sizes_of
from nodeagent.pod_events import (
    Adopted,
    ContainerCreated,
    PodDesired,
    ResizeDecided,
    SizesApplied,
    TimerFired,
)
from nodeagent.pod_instructions import (
    ApplySizes,
    AskForSize,
    CreateContainer,
    Instruction,
    SetTimer,
    StopContainer,
)
from nodeagent.pod_resize import running_sizes
from nodeagent.runtime.interface import ContainerState, ContainerStatus, Resources, SandboxState, SandboxStatus
from orch.api.pod.container import Container, ContainerResizePolicy
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition, PodStatus
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.machine import NOW, Node, a_container, a_node, a_pod, reasons, steps

RESTART_FOR_MEMORY = (ContainerResizePolicy("memory", "RestartContainer"),)


def size(cpu: str, memory: str = "64Mi") -> ResourceRequirements:
    return ResourceRequirements(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory})


def app(cpu: str, memory: str = "64Mi", name: str = "app", **fields: Any) -> Container:
    return a_container(name, resources=size(cpu, memory), **fields)


def running(pod: Pod) -> Node:
    """All containers run with the size of their spec."""
    node = a_node(pod, hold=lambda i: isinstance(i, CreateContainer | ApplySizes | AskForSize))
    node.give(Adopted())
    create_all(node)
    return node


def create_all(node: Node) -> list[Instruction]:
    done: list[Instruction] = []
    while creations := [i for i in node.held if isinstance(i, CreateContainer)]:
        for creation in creations:
            node.held.remove(creation)
            sizes = sizes_of(node.machine.pod)
            event = ContainerCreated(
                creation.container,
                creation.attempt,
                f"{creation.container}-{creation.attempt}",
                sizes[creation.container],
            )
            done += node.give(event)
    return done


def granted(node: Node, wanted: Pod) -> list[Instruction]:
    assert steps(node.give(PodDesired(wanted))) == [AskForSize(wanted)]
    return node.give(ResizeDecided(sizes_of(wanted)))


def told_sizes(node: Node) -> dict[str, tuple[Any, Any]]:
    return {s.name: (s.allocated_resources, s.resources) for s in node.status.container_statuses or ()}


def resize_conditions(node: Node) -> list[tuple[str, str | None, str | None]]:
    return [(c.type, c.reason, c.message) for c in node.status.conditions or () if c.type.startswith("PodResize")]


def test_a_live_resize_goes_from_wanted_to_allocated_to_applied() -> None:
    node = running(a_pod(app("1")))
    assert told_sizes(node) == {"app": (size("1").requests, size("1"))}
    done = granted(node, a_pod(app("2")))
    assert steps(done) == [ApplySizes((("app", "app-0"),), {"app": size("1")}, True)]
    assert resize_conditions(node) == [("PodResizeInProgress", None, None)]
    assert told_sizes(node) == {"app": (size("2").requests, size("1"))}
    done = node.give(SizesApplied({"app": size("2")}))
    assert (steps(done), reasons(done)) == ([], ["ResizeCompleted"])
    assert told_sizes(node) == {"app": (size("2").requests, size("2"))}
    assert resize_conditions(node) == []
    status = (node.status.container_statuses or ())[0]
    assert (status.restart_count, status.container_id) == (0, "crun://app-0")


def test_a_refusal_is_told_and_changes_nothing() -> None:
    node = running(a_pod(app("1")))
    wanted = a_pod(app("9"))
    node.give(PodDesired(wanted))
    done = node.give(ResizeDecided(sizes_of(wanted), "Deferred", "no room"))
    assert (steps(done), reasons(done)) == ([], ["ResizeDeferred"])
    assert resize_conditions(node) == [("PodResizePending", "Deferred", "no room")]
    assert told_sizes(node) == {"app": (size("1").requests, size("1"))}
    assert isinstance(steps(node.give(ResizeDecided(sizes_of(wanted))))[0], ApplySizes)
    assert resize_conditions(node) == [("PodResizeInProgress", None, None)]


def test_an_answer_to_what_is_no_longer_wanted_changes_nothing() -> None:
    node = running(a_pod(app("1")))
    node.give(PodDesired(a_pod(app("9"))))
    node.give(PodDesired(a_pod(app("1"))))
    assert node.give(ResizeDecided(sizes_of(a_pod(app("9"))))) == []
    node.give(ResizeDecided(sizes_of(a_pod(app("1")))))
    assert resize_conditions(node) == []


def test_a_policy_restarts_the_container_between_growth_and_shrinking() -> None:
    node = running(a_pod(app("1", resize_policy=RESTART_FOR_MEMORY), app("1", name="other")))
    wanted = a_pod(app("1", "128Mi", resize_policy=RESTART_FOR_MEMORY), app("2", name="other"))
    done = granted(node, wanted)
    before = {"app": size("1"), "other": size("1")}
    assert steps(done) == [ApplySizes((("other", "other-0"),), before, False)]
    done = node.give(SizesApplied({"other": size("2")}))
    assert [type(i) for i in steps(done)][:1] == [StopContainer]
    assert ApplySizes((), {"other": size("2")}, True) in done
    create_all(node)
    node.give(SizesApplied({}))
    counts = {s.name: s.restart_count for s in node.status.container_statuses or ()}
    assert counts == {"app": 1, "other": 0}
    assert resize_conditions(node) == []


def test_the_pod_is_widened_again_for_what_was_decided_meanwhile() -> None:
    node = running(a_pod(app("1", resize_policy=RESTART_FOR_MEMORY)))
    assert steps(granted(node, a_pod(app("1", "128Mi", resize_policy=RESTART_FOR_MEMORY)))) == [
        widened := ApplySizes((), {"app": size("1")}, False)
    ]
    assert steps(granted(node, a_pod(app("1", "256Mi", resize_policy=RESTART_FOR_MEMORY)))) == []
    assert steps(node.give(SizesApplied({}))) == [widened]
    assert isinstance(steps(node.give(SizesApplied({})))[0], StopContainer)


def test_the_other_resource_of_such_a_container_changes_live() -> None:
    node = running(a_pod(app("1", resize_policy=RESTART_FOR_MEMORY)))
    done = granted(node, a_pod(app("2", resize_policy=RESTART_FOR_MEMORY)))
    assert steps(done) == [ApplySizes((("app", "app-0"),), {"app": size("1")}, True)]


def test_what_is_refused_is_told_and_tried_again() -> None:
    node = running(a_pod(app("1", "64Mi")))
    granted(node, a_pod(app("1", "32Mi")))
    done = node.give(SizesApplied({}, "memory is in use"))
    assert ("PodResizeInProgress", "Error", "memory is in use") in resize_conditions(node)
    assert reasons(done) == ["ResizeError"]
    timer = next(i for i in done if isinstance(i, SetTimer))
    again = node.give(TimerFired(timer.timer))
    assert steps(again) == [ApplySizes((("app", "app-0"),), {"app": size("1")}, True)]
    node.give(SizesApplied({"app": size("1", "32Mi")}))
    assert resize_conditions(node) == []


def test_a_container_that_is_just_being_made_gets_what_is_allocated_by_then() -> None:
    node = a_node(a_pod(app("1")), hold=lambda i: isinstance(i, CreateContainer | ApplySizes | AskForSize))
    node.give(Adopted())
    granted(node, a_pod(app("2")))
    node.held.clear()
    done = node.give(ContainerCreated("app", 0, "app-0", size("1")))
    node.give(SizesApplied({}))
    applied = [i for i in (*done, *node.done) if isinstance(i, ApplySizes)]
    assert applied[-1] == ApplySizes((("app", "app-0"),), {"app": size("1")}, True)


def test_an_agent_that_was_killed_in_the_middle_goes_on() -> None:
    found = ContainerStatus("app-0", "web-uid", "app", 0, "sha256:1", ContainerState.RUNNING, NOW, NOW)
    sandbox = SandboxStatus("web-uid", "default", "web", SandboxState.READY, NOW, "10.244.0.5")
    node = a_node(a_pod(app("2")), hold=lambda i: isinstance(i, ApplySizes))
    done = node.give(Adopted(sandbox, (found,), sizes={"app-0": size("1")}))
    assert ApplySizes((("app", "app-0"),), {"app": size("1")}, True) in done

    stored = PodStatus(conditions=(PodCondition(type="PodResizeInProgress", status="True"),))
    node = a_node(a_pod(app("2")), stored, hold=lambda i: isinstance(i, ApplySizes))
    done = node.give(Adopted(sandbox, (found,), sizes={"app-0": size("2")}))
    assert ApplySizes((), {"app": size("2")}, True) in done


def test_what_runs_in_a_pod_that_is_limited_as_a_whole_has_no_limits_of_its_own() -> None:
    held = Resources(cpu_shares=2, cpu_quota_us=50_000, memory_limit_bytes=1 << 26)
    found = ContainerStatus("id", "web-uid", "app", 0, "sha256:1", ContainerState.RUNNING, NOW, NOW, resources=held)
    alone = a_pod(a_container())
    shared = a_pod(a_container(), resources=size("500m"))
    assert running_sizes(shared, (found,)) == {"id": ResourceRequirements()}
    assert running_sizes(alone, (found,))["id"].limits == {"cpu": "500m", "memory": "64Mi"}


def test_a_pod_that_ends_is_not_resized_any_more() -> None:
    node = running(a_pod(app("1")))
    deleted = a_pod(app("2"))
    deleted = replace(deleted, metadata=replace(deleted.metadata, deletion_timestamp=NOW))
    node.give(PodDesired(deleted))
    assert not [i for i in node.give(ResizeDecided(sizes_of(deleted))) if isinstance(i, ApplySizes)]
