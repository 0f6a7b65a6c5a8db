"""Rules of resource requests and limits (core validation, ValidateResourceRequirements)."""

import re
from collections.abc import Mapping

from orch.api import quantity
from orch.api.base import Quantity
from orch.api.causes import Causes
from orch.api.formats import label_key_problem
from orch.api.shared import ResourceRequirements

STANDARD_RESOURCES = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+")
OVERCOMMITTABLE = frozenset({"cpu", "memory", "ephemeral-storage"})


def resource_rules(causes: Causes, path: str, resources: ResourceRequirements) -> None:
    limits, requests = resources.limits or {}, resources.requests or {}
    amount_rules(causes, f"{path}.limits", limits)
    amount_rules(causes, f"{path}.requests", requests)
    for name, requested in requests.items():
        _request_rules(causes, f"{path}.requests", name, requested, limits)
    for name in limits:
        if name not in OVERCOMMITTABLE and name not in requests and _is_extended(name):
            causes.required(f"{path}.requests", "Request must be set for non overcommitable resources")


def amount_rules(causes: Causes, path: str, amounts: Mapping[str, Quantity]) -> None:
    """Names of resources and their amounts, each at least 0; extended resources are counted in whole pieces."""
    for name, amount in amounts.items():
        if "/" in name:
            causes.check(f"{path}[{name}]", name, label_key_problem(name))
        elif not STANDARD_RESOURCES.fullmatch(name):
            causes.invalid(f"{path}[{name}]", name, "must be a standard resource for containers")
        parsed = quantity.parse(amount)
        if parsed < 0:
            causes.invalid(f"{path}[{name}]", amount, "must be greater than or equal to 0")
        if _is_extended(name) and parsed != parsed.to_integral_value():
            causes.invalid(f"{path}[{name}]", amount, "must be an integer")


def _request_rules(causes: Causes, path: str, name: str, requested: Quantity, limits: Mapping[str, Quantity]) -> None:
    if name not in limits:
        if name not in OVERCOMMITTABLE:
            causes.required(
                path.removesuffix(".requests") + ".limits", "Limit must be set for non overcommitable resources"
            )
        return
    request, limit = quantity.parse(requested), quantity.parse(limits[name])
    if request > limit:
        causes.invalid(path, requested, f"must be less than or equal to {name} limit of {limits[name]}")
    elif request < limit and name not in OVERCOMMITTABLE:
        causes.invalid(path, requested, f"must be equal to {name} limit of {limits[name]}")


def _is_extended(name: str) -> bool:
    return "/" in name and not name.partition("/")[0].endswith("kubernetes.io")
