"""The columns of what says how many pods there may be: autoscalers and disruption budgets."""

from collections.abc import Sequence
from datetime import datetime

from controlplane.apiserver.tables.columns import AGE, NAME, UNKNOWN, UNSET, Cell, Column, Printer, created
from orch.api import quantity
from orch.api.autoscaler import (
    HorizontalPodAutoscaler,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
)
from orch.api.base import IntOrString
from orch.api.poddisruptionbudget import PodDisruptionBudget

METRICS_SHOWN_MAX = 2
NOT_SET = "N/A"


def autoscaler_cells(autoscaler: HorizontalPodAutoscaler, now: datetime) -> list[Cell]:
    spec, status = autoscaler.spec, autoscaler.status
    return [
        autoscaler.metadata.name,
        f"{spec.scale_target_ref.kind}/{spec.scale_target_ref.name}",
        _targets(spec.metrics or (), status.current_metrics or ()),
        UNSET if spec.min_replicas is None else str(spec.min_replicas),
        spec.max_replicas,
        status.current_replicas or 0,
        created(autoscaler, now),
    ]


def _targets(metrics: Sequence[MetricSpec], current: Sequence[MetricStatus]) -> str:
    """Present and wanted value of each metric; the status lists them in the order of the spec."""
    texts = [
        _target(metric, current[index] if index < len(current) else MetricStatus())
        for index, metric in enumerate(metrics)
    ]
    shown = ", ".join(texts[:METRICS_SHOWN_MAX]) or "<none>"
    return shown if len(texts) <= METRICS_SHOWN_MAX else f"{shown} + {len(texts) - METRICS_SHOWN_MAX} more..."


def _target(metric: MetricSpec, status: MetricStatus) -> str:
    name, per_pod = "", ""
    target, value = MetricTarget(), MetricValueStatus()
    if metric.resource is not None:
        name, target = f"{metric.resource.name}: ", metric.resource.target
        value = status.resource.current if status.resource else value
    elif metric.container_resource is not None:
        name, target = f"{metric.container_resource.name}: ", metric.container_resource.target
        value = status.container_resource.current if status.container_resource else value
    elif metric.pods is not None:
        target = metric.pods.target
        value = status.pods.current if status.pods else value
    elif metric.object is not None:
        target = metric.object.target
        value = status.object.current if status.object else value
        per_pod = "" if target.average_value is None else " (avg)"
    elif metric.external is not None:
        target = metric.external.target
        value = status.external.current if status.external else value
        per_pod = "" if target.average_value is None else " (avg)"
    return f"{name}{_compared(target, value)}{per_pod}"


def _compared(target: MetricTarget, value: MetricValueStatus) -> str:
    if target.average_value is not None:
        present = UNKNOWN if value.average_value is None else quantity.canonical(value.average_value)
        return f"{present}/{quantity.canonical(target.average_value)}"
    if target.value is not None:
        present = UNKNOWN if value.value is None else quantity.canonical(value.value)
        return f"{present}/{quantity.canonical(target.value)}"
    present = UNKNOWN if value.average_utilization is None else f"{value.average_utilization}%"
    wanted = "<auto>" if target.average_utilization is None else f"{target.average_utilization}%"
    return f"{present}/{wanted}"


def disruption_budget_cells(budget: PodDisruptionBudget, now: datetime) -> list[Cell]:
    return [
        budget.metadata.name,
        _bound(budget.spec.min_available),
        _bound(budget.spec.max_unavailable),
        budget.status.disruptions_allowed,
        created(budget, now),
    ]


def _bound(value: IntOrString | None) -> str:
    return NOT_SET if value is None else str(value)


HORIZONTALPODAUTOSCALERS = Printer(
    (
        NAME,
        Column("Reference", description="What is scaled."),
        Column("Targets", description="Present and wanted values of the metrics."),
        Column("MinPods"),
        Column("MaxPods", "integer"),
        Column("Replicas", "integer"),
        AGE,
    ),
    autoscaler_cells,
)
PODDISRUPTIONBUDGETS = Printer(
    (
        NAME,
        Column("Min Available"),
        Column("Max Unavailable"),
        Column("Allowed Disruptions", "integer", description="Pods that may be evicted now."),
        AGE,
    ),
    disruption_budget_cells,
)
