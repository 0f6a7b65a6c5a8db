"""The QoS class of a pod (core/v1 PodQOSClass). Pure."""

from typing import Any

from orch.api import quantity
from orch.api.pod.pod_level import has_pod_level
from orch.api.pod.spec import PodSpec
from orch.api.shared import ResourceRequirements

_QOS_RESOURCES = ("cpu", "memory")


def qos_class(spec: PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort (core/v1 PodQOSClass; component-helpers `qos.ComputePodQOS`). What the pod
    asks for as a whole decides alone, where it does."""
    asked = [container.resources for container in (*spec.containers, *(spec.init_containers or ()))]
    if spec.resources is not None and has_pod_level(spec):
        asked = [spec.resources]
    if not any(_amounts(resources, "requests") or _amounts(resources, "limits") for resources in asked):
        return "BestEffort"
    return "Guaranteed" if all(map(_is_guaranteed, asked)) else "Burstable"


def _is_guaranteed(resources: ResourceRequirements) -> bool:
    limits, requests = _amounts(resources, "limits"), _amounts(resources, "requests")
    return set(limits) == set(_QOS_RESOURCES) and all(
        requests.get(name, limits[name]) == limits[name] for name in limits
    )


def _amounts(resources: ResourceRequirements, which: str) -> dict[str, Any]:
    """CPU and memory amounts that are not zero."""
    named = getattr(resources, which) or {}
    amounts = {name: quantity.parse(named[name]) for name in _QOS_RESOURCES if name in named}
    return {name: amount for name, amount in amounts.items() if amount > 0}
