"""What a pod asks for as a whole: its defaults, rules and QoS class."""

from typing import Any

import pytest

from orch.api.kinds import PODS
from orch.api.pod.defaults import pod_defaults
from orch.api.pod.qos import qos_class
from tests.unit.orch.api.objects import brief, container, pod

SMALL = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}


@pytest.mark.parametrize(
    ("whole", "resources", "requests"),
    [
        ({"limits": {"cpu": "1"}}, {}, {"cpu": "1"}),
        ({"limits": {"cpu": "1"}}, SMALL, {"cpu": "200m", "memory": "128Mi"}),
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "900m"}}, {}, {"cpu": "900m"}),
        ({"requests": {"cpu": "900m"}}, SMALL, {"cpu": "900m"}),
    ],
)
def test_requests_follow_the_containers_or_else_the_limits(
    whole: dict[str, Any], resources: dict[str, Any], requests: dict[str, str]
) -> None:
    two = [container(resources=resources), container(name="other", resources=resources)]
    made = pod_defaults(pod(containers=two, resources=whole))
    assert made.spec.resources is not None
    assert made.spec.resources.requests == requests
    assert pod_defaults(made) is made


@pytest.mark.parametrize(
    ("whole", "resources", "expected"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, SMALL, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, SMALL, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, {}, "Guaranteed"),
        ({"requests": {"cpu": "1"}}, {}, "Burstable"),
        ({}, {}, "BestEffort"),
    ],
)
def test_the_pods_own_amounts_decide_on_its_quality(whole: Any, resources: Any, expected: str) -> None:
    assert qos_class(pod_defaults(pod(container(resources=resources), resources=whole)).spec) == expected


@pytest.mark.parametrize(
    ("whole", "field", "reason"),
    [
        ({"requests": {"cpu": "50m"}}, "spec.resources.requests[cpu]", "Invalid"),
        ({"limits": {"memory": "100Mi"}}, "spec.resources.containers[0].limits[memory]", "Invalid"),
        ({"limits": {"cpu": "100m"}, "requests": {"cpu": "200m"}}, "spec.resources.requests", "Invalid"),
        ({"limits": {"ephemeral-storage": "1Gi"}}, "spec.resources.limits[ephemeral-storage]", "NotSupported"),
        ({"claims": [{"name": "gpu"}]}, "spec.resources.claims", "Forbidden"),
    ],
)
def test_the_whole_is_never_less_than_its_parts(whole: Any, field: str, reason: str) -> None:
    assert (field, reason) in brief(PODS.validate(pod(container(resources=SMALL), resources=whole)))


def test_a_pod_that_holds_its_containers_is_valid() -> None:
    whole = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
    assert PODS.validate(pod(container(resources=SMALL), resources=whole)) == []
