"""Rules of HorizontalPodAutoscalers (autoscaling/v2), in Kubernetes' words (pkg/apis/autoscaling/validation)."""

from collections.abc import Sequence

from orch.api import quantity
from orch.api.autoscaler import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)
from orch.api.base import Quantity
from orch.api.causes import Causes
from orch.api.metadata import metadata_rules, selector_rules
from orch.errors import Cause

STABILIZATION_MAX_S = 3600
PERIOD_MAX_S = 1800
METRIC_FIELDS = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""Type of a metric -> the member that describes it."""
_EITHER_TARGET = "must set either a target raw value or a target utilization"
_NOT_BOTH_TARGETS = "may not set both a target raw value and a target utilization"


def validate_autoscaler(autoscaler: HorizontalPodAutoscaler) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, autoscaler.metadata)
    spec = autoscaler.spec
    low, high = spec.min_replicas, spec.max_replicas
    if low is not None and low < 1:
        causes.invalid("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        causes.invalid("spec.maxReplicas", high, "must be greater than 0")
    if low is not None and high < low:
        causes.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    _reference_rules(causes, "spec.scaleTargetRef", spec.scale_target_ref)
    for index, metric in enumerate(spec.metrics or ()):
        _metric_rules(causes, f"spec.metrics[{index}]", metric)
    if spec.behavior is not None:
        for name, rules in (("scaleUp", spec.behavior.scale_up), ("scaleDown", spec.behavior.scale_down)):
            if rules is not None:
                _scaling_rules(causes, f"spec.behavior.{name}", rules)
    causes.not_negative("status.currentReplicas", autoscaler.status.current_replicas)
    causes.not_negative("status.desiredReplicas", autoscaler.status.desired_replicas)
    return causes.found


def _reference_rules(causes: Causes, path: str, reference: CrossVersionObjectReference) -> None:
    for name, value in (("kind", reference.kind), ("name", reference.name)):
        _segment_rules(causes, f"{path}.{name}", value)


def _segment_rules(causes: Causes, path: str, text: str, why_required: str = "") -> None:
    """A name that is a segment of a URL (apimachinery `path.IsValidPathSegmentName`)."""
    if not text:
        causes.required(path, why_required)
    elif text in (".", ".."):
        causes.invalid(path, text, f"may not be '{text}'")
    elif "/" in text or "%" in text:
        causes.invalid(path, text, f"may not contain '{'/' if '/' in text else '%'}'")


def _metric_rules(causes: Causes, path: str, metric: MetricSpec) -> None:
    if not metric.type:
        causes.required(f"{path}.type", "must specify a metric source type")
    if metric.type not in METRIC_FIELDS:
        causes.not_supported(f"{path}.type", metric.type, tuple(METRIC_FIELDS))
    expected = METRIC_FIELDS.get(metric.type, "")
    sources = {
        "containerResource": metric.container_resource,
        "external": metric.external,
        "object": metric.object,
        "pods": metric.pods,
        "resource": metric.resource,
    }
    present = [name for name, source in sources.items() if source is not None]
    if expected and expected not in present:
        causes.required(f"{path}.{expected}", "must populate information for the given metric source")
    for name in present:
        if expected and name != expected:
            causes.forbidden(f"{path}.{name}", "must populate the given metric source only")
    _source_rules(causes, path, metric)


def _source_rules(causes: Causes, path: str, metric: MetricSpec) -> None:
    if (described := metric.object) is not None:
        _reference_rules(causes, f"{path}.object.describedObject", described.described_object)
        _identifier_rules(causes, f"{path}.object.metric", described.metric)
        _value_target_rules(causes, f"{path}.object.target", described.target)
    if (pods := metric.pods) is not None:
        _identifier_rules(causes, f"{path}.pods.metric", pods.metric)
        _target_rules(causes, f"{path}.pods.target", pods.target)
        if pods.target.average_value is None:
            causes.required(f"{path}.pods.target.averageValue", "must specify a positive target averageValue")
    if (external := metric.external) is not None:
        _identifier_rules(causes, f"{path}.external.metric", external.metric)
        _value_target_rules(causes, f"{path}.external.target", external.target)
    if (resource := metric.resource) is not None:
        _resource_rules(causes, f"{path}.resource", resource.name, resource.target)
    if (container := metric.container_resource) is not None:
        at = f"{path}.containerResource"
        if not container.container:
            causes.required(f"{at}.container", "must specify a container")
        _resource_rules(causes, at, container.name, container.target)


def _identifier_rules(causes: Causes, path: str, metric: MetricIdentifier) -> None:
    _segment_rules(causes, f"{path}.name", metric.name, "must specify a metric name")
    selector_rules(causes, f"{path}.selector", metric.selector)


def _value_target_rules(causes: Causes, path: str, target: MetricTarget) -> None:
    """A metric that is one number: compared whole, or divided by the pods."""
    _target_rules(causes, path, target)
    if target.value is None and target.average_value is None:
        causes.required(f"{path}.averageValue", "must set either a target value for metric or a per-pod target")
    if target.value is not None and target.average_value is not None:
        causes.forbidden(f"{path}.value", "may not set both a target value for metric and a per-pod target")


def _resource_rules(causes: Causes, path: str, name: str, target: MetricTarget) -> None:
    if not name:
        causes.required(f"{path}.name", "must specify a resource name")
    _target_rules(causes, f"{path}.target", target)
    if target.average_utilization is None and target.average_value is None:
        causes.required(f"{path}.target.averageUtilization", _EITHER_TARGET)
    if target.average_utilization is not None and target.average_value is not None:
        causes.forbidden(f"{path}.target.averageValue", _NOT_BOTH_TARGETS)


def _target_rules(causes: Causes, path: str, target: MetricTarget) -> None:
    if not target.type:
        causes.required(f"{path}.type", "must specify a metric target type")
    elif target.type not in ("AverageValue", "Utilization", "Value"):
        causes.invalid(f"{path}.type", target.type, "must be either Utilization, Value, or AverageValue")
    _positive(causes, f"{path}.value", target.value)
    _positive(causes, f"{path}.averageValue", target.average_value)
    if target.average_utilization is not None and target.average_utilization < 1:
        causes.invalid(f"{path}.averageUtilization", target.average_utilization, "must be greater than 0")


def _positive(causes: Causes, path: str, amount: Quantity | None) -> None:
    if amount is not None and quantity.parse(amount) <= 0:
        causes.invalid(path, amount, "must be positive")


def _scaling_rules(causes: Causes, path: str, rules: HPAScalingRules) -> None:
    window_s = rules.stabilization_window_seconds
    if window_s is not None and window_s < 0:
        causes.invalid(f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero")
    if window_s is not None and window_s > STABILIZATION_MAX_S:
        why = f"must be less than or equal to {STABILIZATION_MAX_S}"
        causes.invalid(f"{path}.stabilizationWindowSeconds", window_s, why)
    causes.maybe_one_of(f"{path}.selectPolicy", rules.select_policy, ("Disabled", "Max", "Min"))
    if not rules.policies:
        causes.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.policies or ()):
        _policy_rules(causes, f"{path}.policies[{index}]", policy)
    if rules.tolerance is not None and quantity.parse(rules.tolerance) < 0:
        causes.invalid(f"{path}.tolerance", rules.tolerance, "must be greater or equal to zero")


def _policy_rules(causes: Causes, path: str, policy: HPAScalingPolicy) -> None:
    if policy.type not in ("Percent", "Pods"):
        causes.not_supported(f"{path}.type", policy.type, ("Percent", "Pods"))
    if policy.value <= 0:
        causes.invalid(f"{path}.value", policy.value, "must be greater than zero")
    if policy.period_seconds <= 0:
        causes.invalid(f"{path}.periodSeconds", policy.period_seconds, "must be greater than zero")
    if policy.period_seconds > PERIOD_MAX_S:
        why = f"must be less than or equal to {PERIOD_MAX_S}"
        causes.invalid(f"{path}.periodSeconds", policy.period_seconds, why)
