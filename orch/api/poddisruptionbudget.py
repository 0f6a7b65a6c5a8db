"""PodDisruptionBudget (policy/v1)."""

from collections.abc import Sequence
from typing import Annotated

from orch.api.base import ApiStruct, Int32, Int64, IntOrString, Time, always, merge_list
from orch.api.causes import Causes
from orch.api.int_or_percent import at_most_100_percent, count_or_percent_rules
from orch.api.meta import Condition, LabelSelector, Object, ObjectMeta
from orch.api.metadata import metadata_rules, selector_rules
from orch.api.selectors import from_label_selector
from orch.errors import BadRequest, Cause


class PodDisruptionBudgetSpec(ApiStruct):
    max_unavailable: IntOrString | None = None
    min_available: IntOrString | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class PodDisruptionBudgetStatus(ApiStruct):
    conditions: Annotated[tuple[Condition, ...] | None, merge_list("type")] = None
    current_healthy: Int32 = always(0)
    desired_healthy: Int32 = always(0)
    disrupted_pods: dict[str, Time] | None = None
    disruptions_allowed: Int32 = always(0)
    expected_pods: Int32 = always(0)
    observed_generation: Int64 | None = None


class PodDisruptionBudget(Object):
    api_version: str = always("policy/v1")
    kind: str = always("PodDisruptionBudget")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: PodDisruptionBudgetSpec = always(PodDisruptionBudgetSpec())
    status: PodDisruptionBudgetStatus = always(PodDisruptionBudgetStatus())


ALWAYS_ALLOW = "AlwaysAllow"
EVICTION_POLICIES = (ALWAYS_ALLOW, "IfHealthyBudget")


def validate_poddisruptionbudget(budget: PodDisruptionBudget) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, budget.metadata)
    spec = budget.spec
    if spec.min_available is not None and spec.max_unavailable is not None:
        causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name, value in (("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)):
        if value is not None:
            count_or_percent_rules(causes, f"spec.{name}", value)
            at_most_100_percent(causes, f"spec.{name}", value)
    selector_rules(causes, "spec.selector", spec.selector)
    causes.maybe_one_of("spec.unhealthyPodEvictionPolicy", spec.unhealthy_pod_eviction_policy, EVICTION_POLICIES)
    status = budget.status
    for name, count in (
        ("disruptionsAllowed", status.disruptions_allowed),
        ("currentHealthy", status.current_healthy),
        ("desiredHealthy", status.desired_healthy),
        ("expectedPods", status.expected_pods),
    ):
        causes.not_negative(f"status.{name}", count)
    return causes.found


def covers(budget: PodDisruptionBudget, labels: dict[str, str] | None) -> bool:
    """Whether a pod of the budget's namespace with these labels is protected. An empty selector covers every pod, no
    selector none (policy/v1)."""
    if budget.spec.selector is None:
        return False
    try:
        return from_label_selector(budget.spec.selector).matches(labels or {})
    except BadRequest:
        return False
