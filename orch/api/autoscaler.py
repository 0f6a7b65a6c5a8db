"""HorizontalPodAutoscaler (autoscaling/v2, the stored form): types and defaults. Rules: `orch.api.autoscaler_rules`."""

from typing import Annotated

from orch.api import quantity
from orch.api.base import ApiStruct, Int32, Int64, Quantity, Time, always, merge_list
from orch.api.change import change, each_or_none, fill, fill_zero, into
from orch.api.meta import LabelSelector, Object, ObjectMeta


class CrossVersionObjectReference(ApiStruct):
    api_version: str | None = None
    kind: str = always("")
    name: str = always("")


class HPAScalingPolicy(ApiStruct):
    period_seconds: Int32 = always(0)
    type: str = always("")
    value: Int32 = always(0)


class HPAScalingRules(ApiStruct):
    policies: tuple[HPAScalingPolicy, ...] | None = None
    select_policy: str | None = None
    stabilization_window_seconds: Int32 | None = None
    tolerance: Quantity | None = None


class HorizontalPodAutoscalerBehavior(ApiStruct):
    scale_down: HPAScalingRules | None = None
    scale_up: HPAScalingRules | None = None


class MetricIdentifier(ApiStruct):
    name: str = always("")
    selector: LabelSelector | None = None


class MetricTarget(ApiStruct):
    average_utilization: Int32 | None = None
    average_value: Quantity | None = None
    type: str = always("")
    value: Quantity | None = None


class ContainerResourceMetricSource(ApiStruct):
    container: str = always("")
    name: str = always("")
    target: MetricTarget = always(MetricTarget())


class ExternalMetricSource(ApiStruct):
    metric: MetricIdentifier = always(MetricIdentifier())
    target: MetricTarget = always(MetricTarget())


class ObjectMetricSource(ApiStruct):
    described_object: CrossVersionObjectReference = always(CrossVersionObjectReference())
    metric: MetricIdentifier = always(MetricIdentifier())
    target: MetricTarget = always(MetricTarget())


class PodsMetricSource(ApiStruct):
    metric: MetricIdentifier = always(MetricIdentifier())
    target: MetricTarget = always(MetricTarget())


class ResourceMetricSource(ApiStruct):
    name: str = always("")
    target: MetricTarget = always(MetricTarget())


class MetricSpec(ApiStruct):
    container_resource: ContainerResourceMetricSource | None = None
    external: ExternalMetricSource | None = None
    object: ObjectMetricSource | None = None
    pods: PodsMetricSource | None = None
    resource: ResourceMetricSource | None = None
    type: str = always("")


class HorizontalPodAutoscalerSpec(ApiStruct):
    behavior: HorizontalPodAutoscalerBehavior | None = None
    max_replicas: Int32 = always(0)
    metrics: tuple[MetricSpec, ...] | None = None
    min_replicas: Int32 | None = None
    scale_target_ref: CrossVersionObjectReference = always(CrossVersionObjectReference())


class HorizontalPodAutoscalerCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class MetricValueStatus(ApiStruct):
    average_utilization: Int32 | None = None
    average_value: Quantity | None = None
    value: Quantity | None = None


class ContainerResourceMetricStatus(ApiStruct):
    container: str = always("")
    current: MetricValueStatus = always(MetricValueStatus())
    name: str = always("")


class ExternalMetricStatus(ApiStruct):
    current: MetricValueStatus = always(MetricValueStatus())
    metric: MetricIdentifier = always(MetricIdentifier())


class ObjectMetricStatus(ApiStruct):
    current: MetricValueStatus = always(MetricValueStatus())
    described_object: CrossVersionObjectReference = always(CrossVersionObjectReference())
    metric: MetricIdentifier = always(MetricIdentifier())


class PodsMetricStatus(ApiStruct):
    current: MetricValueStatus = always(MetricValueStatus())
    metric: MetricIdentifier = always(MetricIdentifier())


class ResourceMetricStatus(ApiStruct):
    current: MetricValueStatus = always(MetricValueStatus())
    name: str = always("")


class MetricStatus(ApiStruct):
    container_resource: ContainerResourceMetricStatus | None = None
    external: ExternalMetricStatus | None = None
    object: ObjectMetricStatus | None = None
    pods: PodsMetricStatus | None = None
    resource: ResourceMetricStatus | None = None
    type: str = always("")


class HorizontalPodAutoscalerStatus(ApiStruct):
    conditions: Annotated[tuple[HorizontalPodAutoscalerCondition, ...] | None, merge_list("type")] = None
    current_metrics: tuple[MetricStatus, ...] | None = None
    current_replicas: Int32 | None = None
    desired_replicas: Int32 = always(0)
    last_scale_time: Time | None = None
    observed_generation: Int64 | None = None


class HorizontalPodAutoscaler(Object):
    api_version: str = always("autoscaling/v2")
    kind: str = always("HorizontalPodAutoscaler")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: HorizontalPodAutoscalerSpec = always(HorizontalPodAutoscalerSpec())
    status: HorizontalPodAutoscalerStatus = always(HorizontalPodAutoscalerStatus())


CPU_UTILIZATION_DEFAULT = 80
CPU, UTILIZATION = "cpu", "Utilization"
PERIOD_DEFAULT_S = 15


def cpu_utilization(percent: int) -> MetricSpec:
    target = MetricTarget(type=UTILIZATION, average_utilization=percent)
    return MetricSpec(type="Resource", resource=ResourceMetricSource(name=CPU, target=target))


DEFAULT_METRICS = (cpu_utilization(CPU_UTILIZATION_DEFAULT),)
_DOUBLE = HPAScalingPolicy(type="Percent", value=100, period_seconds=PERIOD_DEFAULT_S)
_FOUR_PODS = HPAScalingPolicy(type="Pods", value=4, period_seconds=PERIOD_DEFAULT_S)
_SCALE_UP = HPAScalingRules(policies=(_FOUR_PODS, _DOUBLE), select_policy="Max", stabilization_window_seconds=0)
_SCALE_DOWN = HPAScalingRules(policies=(_DOUBLE,), select_policy="Max")
"""How fast an autoscaler acts that says something of its behaviour, but not this (autoscaling/v2 defaults)."""


def autoscaler_defaults(autoscaler: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    spec = fill_zero(fill(autoscaler.spec, min_replicas=1), metrics=DEFAULT_METRICS)
    behavior = into(spec.behavior, _behavior_defaults)
    return change(autoscaler, spec=change(spec, behavior=behavior, metrics=each_or_none(spec.metrics, _canonical)))


def _behavior_defaults(behavior: HorizontalPodAutoscalerBehavior) -> HorizontalPodAutoscalerBehavior:
    return change(
        behavior,
        scale_up=_rules_defaults(behavior.scale_up, _SCALE_UP),
        scale_down=_rules_defaults(behavior.scale_down, _SCALE_DOWN),
    )


def _rules_defaults(rules: HPAScalingRules | None, default: HPAScalingRules) -> HPAScalingRules:
    if rules is None:
        return default
    return fill(
        rules,
        policies=default.policies,
        select_policy=default.select_policy,
        stabilization_window_seconds=default.stabilization_window_seconds,
    )


def _canonical(metric: MetricSpec) -> MetricSpec:
    """Amounts in their canonical text."""
    sources = {
        name: change(source, target=_canonical_target(source.target))
        for name in ("container_resource", "external", "object", "pods", "resource")
        if (source := getattr(metric, name)) is not None
    }
    return change(metric, **sources)


def _canonical_target(target: MetricTarget) -> MetricTarget:
    return change(target, value=_amount(target.value), average_value=_amount(target.average_value))


def _amount(amount: Quantity | None) -> Quantity | None:
    """The same text when it is canonical, so that defaulting twice changes nothing."""
    if amount is None:
        return None
    text = quantity.canonical(amount)
    return amount if amount == text else text
