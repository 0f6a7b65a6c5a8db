"""The QoS class of a pod (core/v1 PodQOSClass). Pure."""

from typing import Any

from orch.api import quantity
from orch.api.pod.container import Container
from orch.api.pod.spec import PodSpec

_QOS_RESOURCES = ("cpu", "memory")


def qos_class(spec: PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort (core/v1 PodQOSClass; component-helpers `qos.ComputePodQOS`)."""
    containers = (*spec.containers, *(spec.init_containers or ()))
    if not any(_amounts(container, "requests") or _amounts(container, "limits") for container in containers):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(container) for container in containers) else "Burstable"


def _is_guaranteed(container: Container) -> bool:
    limits, requests = _amounts(container, "limits"), _amounts(container, "requests")
    return set(limits) == set(_QOS_RESOURCES) and all(
        requests.get(name, limits[name]) == limits[name] for name in limits
    )


def _amounts(container: Container, which: str) -> dict[str, Any]:
    """CPU and memory amounts that are not zero."""
    named = getattr(container.resources, which, None) or {}
    amounts = {name: quantity.parse(named[name]) for name in _QOS_RESOURCES if name in named}
    return {name: amount for name, amount in amounts.items() if amount > 0}
