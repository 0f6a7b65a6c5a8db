"""What a pod asks for as a whole (`spec.resources`), which goes before what its containers ask for. Pure.

As KEP-2837 and component-helpers/resource (PodRequests, PodLimits): containers without a limit share the pod's.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from orch.api import quantity
from orch.api.base import Quantity
from orch.api.causes import Causes
from orch.api.change import change
from orch.api.pod.container import Container
from orch.api.pod.effective import effective
from orch.api.pod.resource_rules import resource_rules
from orch.api.pod.spec import PodSpec
from orch.api.shared import ResourceRequirements

N = TypeVar("N", int, Decimal)
SHARED_RESOURCES = frozenset({"cpu", "memory"})
HUGE_PAGES = "hugepages-"
Read = Callable[[Mapping[str, Quantity] | None], Mapping[str, N]]
"""Quantities to the caller's units."""


def is_pod_level(resource: str) -> bool:
    return resource in SHARED_RESOURCES or resource.startswith(HUGE_PAGES)


def has_pod_level(spec: PodSpec) -> bool:
    whole = spec.resources or ResourceRequirements()
    return any(is_pod_level(name) for name in (*(whole.requests or ()), *(whole.limits or ())))


def pod_level_limits(spec: PodSpec) -> Mapping[str, Quantity]:
    return (spec.resources.limits if spec.resources is not None else None) or {}


def requests_of(spec: PodSpec, of_container: Callable[[Container], Mapping[str, N]], read: Read[N]) -> dict[str, N]:
    """Without overhead."""
    whole = read(spec.resources.requests) if spec.resources is not None else {}
    return {**effective(spec, of_container), **whole}


def limits_of(spec: PodSpec, of_container: Callable[[Container], Mapping[str, N]], read: Read[N]) -> dict[str, N]:
    """Without overhead."""
    return {**effective(spec, of_container), **read(pod_level_limits(spec))}


def pod_level_defaults(spec: PodSpec) -> PodSpec:
    """A pod with limits of its own requests what its containers do; where none of them does, the limit."""
    if spec.resources is None or not spec.resources.limits:
        return spec
    asked = {name: quantity.shown(name, amount) for name, amount in _requests_of_containers(spec).items()}
    given = spec.resources.requests or {}
    missing = {
        name: amount
        for name, amount in {**spec.resources.limits, **asked}.items()
        if name in SHARED_RESOURCES and name not in given
    }
    return change(spec, resources=change(spec.resources, requests={**given, **missing})) if missing else spec


def pod_level_rules(causes: Causes, path: str, spec: PodSpec) -> None:
    """core validation, validatePodResources and validatePodResourceConsistency."""
    if spec.resources is None:
        return
    resource_rules(causes, path, spec.resources)
    if spec.resources.claims:
        causes.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
    for which, amounts in (("limits", spec.resources.limits), ("requests", spec.resources.requests)):
        for name in amounts or ():
            if not is_pod_level(name):
                causes.not_supported(f"{path}.{which}[{name}]", name, ["cpu", "memory", HUGE_PAGES])
    _enough_for_containers(causes, path, spec, spec.resources.requests or {})


def _enough_for_containers(causes: Causes, path: str, spec: PodSpec, requests: Mapping[str, Quantity]) -> None:
    for name, asked in sorted(_requests_of_containers(spec).items()):
        if name in requests and asked > quantity.parse(requests[name]):
            why = f"must be greater than or equal to aggregate container requests of {quantity.shown(name, asked)}"
            causes.invalid(f"{path}.requests[{name}]", requests[name], why)
    whole = pod_level_limits(spec)
    for index, container in enumerate(spec.containers):
        for name, limit in sorted((container.resources.limits or {}).items()):
            if name in whole and quantity.parse(limit) > quantity.parse(whole[name]):
                why = f"must be less than or equal to pod limits of {quantity.canonical(whole[name])}"
                causes.invalid(f"{path}.containers[{index}].limits[{name}]", limit, why)


def _requests_of_containers(spec: PodSpec) -> dict[str, Decimal]:
    return effective(spec, lambda container: quantity.parse_map(container.resources.requests))
