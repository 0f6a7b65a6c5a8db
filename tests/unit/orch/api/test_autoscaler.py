"""HorizontalPodAutoscalers: defaults and rules of v2, and that v1 shows the same object without losing any of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.autoscaler_v1 import BEHAVIOR, METRICS
from orch.api.kinds import HORIZONTALPODAUTOSCALERS, HORIZONTALPODAUTOSCALERS_V1
from orch.errors import BadRequest
from tests.unit.orch.api.objects import brief, made

Metric = dict[str, Any]


def autoscaler(*metrics: Metric, status: dict[str, Any] | None = None, **spec: Any) -> Any:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    plain = {"scaleTargetRef": reference, "maxReplicas": 5, "metrics": metrics, **spec}
    return made(HORIZONTALPODAUTOSCALERS, {"spec": plain, "status": status or {}})


def resource(name: str = "cpu", kind: str = "Utilization", **target: Any) -> Metric:
    return {"type": "Resource", "resource": {"name": name, "target": {"type": kind, **target}}}


def external(**target: Any) -> Metric:
    return {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", **target}}}


MEMORY = resource("memory", "AverageValue", averageValue="100Mi")


def test_defaults() -> None:
    spec = autoscaler().spec
    assert spec.min_replicas == 1
    (metric,) = spec.metrics
    assert (metric.resource.name, metric.resource.target.average_utilization) == ("cpu", 80)
    assert spec.behavior is None
    behavior = autoscaler(behavior={"scaleUp": {"stabilizationWindowSeconds": 5}}).spec.behavior
    assert behavior.scale_up.stabilization_window_seconds == 5
    assert [policy.type for policy in behavior.scale_up.policies] == ["Pods", "Percent"]
    assert behavior.scale_down.select_policy == "Max"
    assert behavior.scale_down.stabilization_window_seconds is None
    assert autoscaler(external(value=1000)).spec.metrics[0].external.target.value == "1k"


@pytest.mark.parametrize(
    ("made_of", "expected"),
    [
        (autoscaler(MEMORY, resource(averageUtilization=50), external(value="5")), []),
        (autoscaler(maxReplicas=0, minReplicas=0), ["minReplicas:Invalid", "maxReplicas:Invalid"]),
        (autoscaler(maxReplicas=2, minReplicas=3), ["maxReplicas:Invalid"]),
        (autoscaler(scaleTargetRef={"name": "a/b"}), ["scaleTargetRef.kind:Required", "scaleTargetRef.name:Invalid"]),
        (autoscaler({"type": "Resource"}), ["metrics[0].resource:Required"]),
        (autoscaler({}), ["metrics[0].type:Required", "metrics[0].type:NotSupported"]),
        (autoscaler({**MEMORY, **external(value=1), "type": "Resource"}), ["metrics[0].external:Forbidden"]),
        (
            autoscaler(resource("")),
            ["metrics[0].resource.name:Required", "metrics[0].resource.target.averageUtilization:Required"],
        ),
        (
            autoscaler(resource(kind="Some", averageUtilization=0)),
            ["metrics[0].resource.target.type:Invalid", "metrics[0].resource.target.averageUtilization:Invalid"],
        ),
        (
            autoscaler(resource(averageUtilization=1, averageValue=1)),
            ["metrics[0].resource.target.averageValue:Forbidden"],
        ),
        (autoscaler(external()), ["metrics[0].external.target.averageValue:Required"]),
        (autoscaler(external(value=1, averageValue=1)), ["metrics[0].external.target.value:Forbidden"]),
        (autoscaler(external(value="-1")), ["metrics[0].external.target.value:Invalid"]),
        (
            autoscaler({"type": "Pods", "pods": {"target": {"type": "AverageValue"}}}),
            ["metrics[0].pods.metric.name:Required", "metrics[0].pods.target.averageValue:Required"],
        ),
        (
            autoscaler({"type": "ContainerResource", "containerResource": resource(averageUtilization=1)["resource"]}),
            ["metrics[0].containerResource.container:Required"],
        ),
        (
            autoscaler(behavior={"scaleUp": {"policies": [{"type": "Half", "value": 0, "periodSeconds": 1801}]}}),
            [
                "behavior.scaleUp.policies[0].type:NotSupported",
                "behavior.scaleUp.policies[0].value:Invalid",
                "behavior.scaleUp.policies[0].periodSeconds:Invalid",
            ],
        ),
        (
            autoscaler(
                behavior={"scaleDown": {"policies": [], "selectPolicy": "Most", "stabilizationWindowSeconds": 3601}}
            ),
            [
                "behavior.scaleDown.stabilizationWindowSeconds:Invalid",
                "behavior.scaleDown.selectPolicy:NotSupported",
                "behavior.scaleDown.policies:Required",
            ],
        ),
    ],
)
def test_rules(made_of: Any, expected: list[str]) -> None:
    causes = brief(HORIZONTALPODAUTOSCALERS.validate(made_of))
    assert [f"{field.removeprefix('spec.')}:{reason}" for field, reason in causes] == expected


V1 = HORIZONTALPODAUTOSCALERS_V1
STATUS = {
    "currentReplicas": 2,
    "desiredReplicas": 3,
    "conditions": [{"type": "AbleToScale", "status": "True"}],
    "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}],
}


@pytest.mark.parametrize(
    "stored",
    [
        autoscaler(),
        autoscaler(MEMORY),
        autoscaler(MEMORY, resource(averageUtilization=50), status=STATUS),
        autoscaler(resource(averageUtilization=50), external(value=3), behavior={"scaleUp": {}}),
        replace(autoscaler(MEMORY), metadata=replace(autoscaler().metadata, annotations={"a": "b"})),
    ],
)
def test_nothing_is_lost_on_the_way_through_v1(stored: Any) -> None:
    shown = V1.from_stored(stored)
    assert V1.to_stored(V1.codec.decode(V1.codec.encode(shown))) == stored


def test_v1_has_a_field_for_the_cpu_and_annotations_for_the_rest() -> None:
    plain = V1.from_stored(autoscaler(status=STATUS))
    assert plain.spec.target_cpu_utilization_percentage == 80
    assert plain.status.current_cpu_utilization_percentage == 40
    assert METRICS not in (plain.metadata.annotations or {})
    rich = V1.from_stored(autoscaler(MEMORY, behavior={"scaleUp": {}}))
    assert rich.spec.target_cpu_utilization_percentage is None
    assert {METRICS, BEHAVIOR} == set(rich.metadata.annotations or {})


def test_the_field_wins_over_the_annotation() -> None:
    shown = V1.from_stored(autoscaler(MEMORY, resource(averageUtilization=50)))
    changed = replace(shown, spec=replace(shown.spec, target_cpu_utilization_percentage=70))
    cpu, memory = V1.to_stored(changed).spec.metrics
    assert (cpu.resource.target.average_utilization, memory.resource.name) == (70, "memory")
    without = replace(shown, spec=replace(shown.spec, target_cpu_utilization_percentage=None))
    assert [metric.resource.name for metric in V1.to_stored(without).spec.metrics] == ["memory"]


def test_an_annotation_that_cannot_be_read_is_a_bad_request() -> None:
    shown = V1.from_stored(autoscaler())
    bad = replace(shown, metadata=replace(shown.metadata, annotations={METRICS: "{"}))
    with pytest.raises(BadRequest, match="annotation autoscaling"):
        V1.to_stored(bad)
