"""What a write of the resize subresource may change."""

from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.kinds import PODS
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container, ContainerResizePolicy
from orch.api.pod.qos import qos_class
from orch.api.pod.resize_rules import resized, validate_resize
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.status import PodStatus
from orch.api.shared import ResourceRequirements
from orch.api.unsupported import warnings_for


def a_container(name: str = "app", requests: Any = None, limits: Any = None, **fields: Any) -> Container:
    return Container(name=name, image="a:1", resources=ResourceRequirements(requests=requests, limits=limits), **fields)


def a_pod(*containers: Container, **spec: Any) -> Pod:
    made = PodSpec(containers=containers, **spec)
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default"), spec=made, status=PodStatus(qos_class=qos_class(made))
    )


def problems(new: Pod, old: Pod) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate_resize(new, old)]


BEFORE = a_pod(a_container(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2"}))


def with_app(**fields: Any) -> Pod:
    return a_pod(a_container(**({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}} | fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {"requests": {"cpu": "500m", "memory": "2Gi"}},
        {"limits": {"cpu": "4", "memory": "4Gi"}},
        {"requests": {"cpu": "2", "memory": "512Mi"}, "limits": {"cpu": "2"}},
    ],
)
def test_cpu_and_memory_of_a_container_may_change(fields: dict[str, Any]) -> None:
    assert problems(with_app(**fields), BEFORE) == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"requests": {"cpu": "1"}}, "resource requests cannot be removed"),
        ({"limits": None}, "resource limits cannot be removed"),
        ({"limits": {"cpu": "2", "ephemeral-storage": "1Gi"}}, "only cpu and memory resources are mutable"),
        ({"resize_policy": (ContainerResizePolicy("cpu", "RestartContainer"),)}, "only cpu and memory resources"),
        ({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}, "Pod QOS Class may not"),
    ],
)
def test_nothing_else_may_change(fields: dict[str, Any], complaint: str) -> None:
    assert any(complaint in problem for problem in problems(with_app(**fields), BEFORE))


def test_a_sidecar_can_be_resized_and_an_init_container_cannot() -> None:
    small, large = ({"requests": {"cpu": cpu}} for cpu in ("1", "2"))
    app = a_container(**small)
    for policy, found in (("Always", 0), (None, 1)):
        before = a_pod(app, init_containers=(a_container("first", restart_policy=policy, **small),))
        after = a_pod(app, init_containers=(a_container("first", restart_policy=policy, **large),))
        assert len(problems(after, before)) == found


@pytest.mark.parametrize(
    ("meta", "spec", "complaint"),
    [
        ({"annotations": {"kubernetes.io/config.mirror": "u"}}, {}, "static pods cannot be resized"),
        ({}, {"resources": ResourceRequirements(requests={"cpu": "1"})}, "pods with pod-level resources"),
    ],
)
def test_pods_that_cannot_be_resized(meta: dict[str, Any], spec: dict[str, Any], complaint: str) -> None:
    before = replace(BEFORE, metadata=ObjectMeta(name="web", **meta), spec=replace(BEFORE.spec, **spec))
    assert complaint in problems(before, before)[0]


def test_a_resize_brings_resources_and_nothing_else() -> None:
    new = a_pod(a_container(requests={"cpu": "3"}, command=("other",)), node_name="n2")
    taken = resized(new.spec, BEFORE.spec)
    assert taken.containers[0].resources.requests == {"cpu": "3"}
    assert (taken.containers[0].command, taken.node_name) == (None, None)


def test_resize_policies_name_each_resource_once_and_never_restart_what_does_not_restart() -> None:
    policies = (ContainerResizePolicy("cpu", "RestartContainer"), ContainerResizePolicy("cpu", "NotRequired"))
    pod = PODS.set_defaults(a_pod(a_container(resize_policy=policies), restart_policy="Never"))
    found = [cause.message for cause in PODS.validate(pod) if "resizePolicy" in cause.field]
    assert any("must be 'NotRequired' when `restartPolicy` is 'Never'" in message for message in found)
    assert any("Duplicate" in message for message in found)
    assert not [warning for warning in warnings_for(PODS, pod) if "resizePolicy" in warning]
