"""HorizontalPodAutoscaler (autoscaling/v1): the older form, which knows one metric, the CPU.

What it has no field for stands in annotations, under Kubernetes' keys, so that a client of v1 that reads an object and
writes it back loses nothing. Their values are the v2 fields as JSON.
"""

from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec.structs import replace

from orch.api import autoscaler as v2
from orch.api.base import ApiStruct, Int32, Int64, Time, always
from orch.api.meta import Object, ObjectMeta
from orch.errors import BadRequest

T = TypeVar("T")


class CrossVersionObjectReference(ApiStruct):
    is_atomic: ClassVar[bool] = True
    api_version: str | None = None
    kind: str = always("")
    name: str = always("")


class HorizontalPodAutoscalerSpec(ApiStruct):
    max_replicas: Int32 = always(0)
    min_replicas: Int32 | None = None
    scale_target_ref: CrossVersionObjectReference = always(CrossVersionObjectReference())
    target_cpu_utilization_percentage: Int32 | None = msgspec.field(default=None, name="targetCPUUtilizationPercentage")


class HorizontalPodAutoscalerStatus(ApiStruct):
    current_cpu_utilization_percentage: Int32 | None = msgspec.field(
        default=None, name="currentCPUUtilizationPercentage"
    )
    current_replicas: Int32 = always(0)
    desired_replicas: Int32 = always(0)
    last_scale_time: Time | None = None
    observed_generation: Int64 | None = None


class HorizontalPodAutoscaler(Object):
    api_version: str = always("autoscaling/v1")
    kind: str = always("HorizontalPodAutoscaler")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: HorizontalPodAutoscalerSpec = always(HorizontalPodAutoscalerSpec())
    status: HorizontalPodAutoscalerStatus = always(HorizontalPodAutoscalerStatus())


_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
CONDITIONS, CURRENT_METRICS = f"{_PREFIX}conditions", f"{_PREFIX}current-metrics"
_KEYS = (METRICS, BEHAVIOR, CONDITIONS, CURRENT_METRICS)


def from_v2(stored: v2.HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    spec, status = stored.spec, stored.status
    metrics, current = spec.metrics or (), status.current_metrics or ()
    target = _target_percent(metrics)
    beyond: dict[str, Any] = {
        METRICS: metrics if metrics != _cpu_metrics(target) else None,
        BEHAVIOR: spec.behavior,
        CONDITIONS: status.conditions,
        CURRENT_METRICS: current or None,
    }
    texts = {key: msgspec.json.encode(value).decode() for key, value in beyond.items() if value is not None}
    annotations = {**(stored.metadata.annotations or {}), **texts}
    reference = spec.scale_target_ref
    return HorizontalPodAutoscaler(
        metadata=replace(stored.metadata, annotations=annotations) if texts else stored.metadata,
        spec=HorizontalPodAutoscalerSpec(
            max_replicas=spec.max_replicas,
            min_replicas=spec.min_replicas,
            scale_target_ref=CrossVersionObjectReference(
                api_version=reference.api_version, kind=reference.kind, name=reference.name
            ),
            target_cpu_utilization_percentage=target,
        ),
        status=HorizontalPodAutoscalerStatus(
            current_cpu_utilization_percentage=_current_percent(current),
            current_replicas=status.current_replicas or 0,
            desired_replicas=status.desired_replicas,
            last_scale_time=status.last_scale_time,
            observed_generation=status.observed_generation,
        ),
    )


def to_v2(written: HorizontalPodAutoscaler) -> v2.HorizontalPodAutoscaler:
    """Raises BadRequest for an annotation that cannot be read."""
    spec, status, reference = written.spec, written.status, written.spec.scale_target_ref
    annotations = written.metadata.annotations or {}
    others = {key: value for key, value in annotations.items() if key not in _KEYS}
    is_plain = len(others) == len(annotations)
    metrics = _read(annotations, METRICS, tuple[v2.MetricSpec, ...])
    return v2.HorizontalPodAutoscaler(
        metadata=written.metadata if is_plain else replace(written.metadata, annotations=others or None),
        spec=v2.HorizontalPodAutoscalerSpec(
            behavior=_read(annotations, BEHAVIOR, v2.HorizontalPodAutoscalerBehavior),
            max_replicas=spec.max_replicas,
            metrics=_metrics(metrics or (), spec.target_cpu_utilization_percentage) or None,
            min_replicas=spec.min_replicas,
            scale_target_ref=v2.CrossVersionObjectReference(
                api_version=reference.api_version, kind=reference.kind, name=reference.name
            ),
        ),
        status=v2.HorizontalPodAutoscalerStatus(
            conditions=_read(annotations, CONDITIONS, tuple[v2.HorizontalPodAutoscalerCondition, ...]),
            current_metrics=_read(annotations, CURRENT_METRICS, tuple[v2.MetricStatus, ...]),
            current_replicas=status.current_replicas or None,
            desired_replicas=status.desired_replicas,
            last_scale_time=status.last_scale_time,
            observed_generation=status.observed_generation,
        ),
    )


def _read(annotations: dict[str, str], key: str, shape: type[T]) -> T | None:
    if key not in annotations:
        return None
    try:
        return msgspec.json.decode(annotations[key], type=shape)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"annotation {key} is not what autoscaling/v2 has in its place, as JSON: {error}") from error


def _is_cpu_percent(metric: v2.MetricSpec) -> bool:
    resource = metric.resource
    return resource is not None and resource.name == v2.CPU and resource.target.average_utilization is not None


def _target_percent(metrics: tuple[v2.MetricSpec, ...]) -> int | None:
    found = next((metric.resource for metric in metrics if metric.resource and _is_cpu_percent(metric)), None)
    return found.target.average_utilization if found else None


def _cpu_metrics(percent: int | None) -> tuple[v2.MetricSpec, ...]:
    return () if percent is None else (v2.cpu_utilization(percent),)


def _metrics(listed: tuple[v2.MetricSpec, ...], percent: int | None) -> tuple[v2.MetricSpec, ...]:
    """The annotation's metrics, unless the field says something else of the CPU."""
    if _target_percent(listed) == percent:
        return listed
    return (*_cpu_metrics(percent), *(metric for metric in listed if not _is_cpu_percent(metric)))


def _current_percent(current: tuple[v2.MetricStatus, ...]) -> int | None:
    resources = (metric.resource for metric in current if metric.resource and metric.resource.name == v2.CPU)
    return next((resource.current.average_utilization for resource in resources), None)
