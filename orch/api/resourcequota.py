"""ResourceQuota (core/v1): how much a namespace may hold. What counts how much is in `orch.api.quota_usage`."""

from collections.abc import Sequence
from typing import ClassVar

from orch.api import quantity
from orch.api.base import ApiStruct, Quantity, always
from orch.api.causes import Causes
from orch.api.change import change
from orch.api.formats import label_key_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.errors import Cause


class ScopedResourceSelectorRequirement(ApiStruct):
    operator: str = always("")
    scope_name: str = always("")
    values: tuple[str, ...] | None = None


class ScopeSelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] | None = None


class ResourceQuotaSpec(ApiStruct):
    hard: dict[str, Quantity] | None = None
    scope_selector: ScopeSelector | None = None
    scopes: tuple[str, ...] | None = None


class ResourceQuotaStatus(ApiStruct):
    hard: dict[str, Quantity] | None = None
    used: dict[str, Quantity] | None = None


class ResourceQuota(Object):
    api_version: str = always("v1")
    kind: str = always("ResourceQuota")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: ResourceQuotaSpec = always(ResourceQuotaSpec())
    status: ResourceQuotaStatus = always(ResourceQuotaStatus())


OBJECT_COUNTS = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip
POD_COMPUTE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
STANDARD = OBJECT_COUNTS | POD_COMPUTE | {
    "ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "requests.storage",
}  # fmt: skip
HUGE_PAGES = ("hugepages-", "requests.hugepages-")

BEST_EFFORT, NOT_BEST_EFFORT, TERMINATING, NOT_TERMINATING = (
    "BestEffort", "NotBestEffort", "Terminating", "NotTerminating",
)  # fmt: skip
PRIORITY_CLASS, CROSS_NAMESPACE_AFFINITY = "PriorityClass", "CrossNamespacePodAffinity"
VOLUME_ATTRIBUTES_CLASS = "VolumeAttributesClass"
SCOPES = frozenset({
    BEST_EFFORT, NOT_BEST_EFFORT, TERMINATING, NOT_TERMINATING, PRIORITY_CLASS, CROSS_NAMESPACE_AFFINITY,
    VOLUME_ATTRIBUTES_CLASS,
})  # fmt: skip
SCOPES_WITH_VALUES = frozenset({PRIORITY_CLASS, VOLUME_ATTRIBUTES_CLASS})
OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def resourcequota_defaults(quota: ResourceQuota) -> ResourceQuota:
    spec = change(quota.spec, hard=quantity.canonical_map(quota.spec.hard))
    status = change(
        quota.status, hard=quantity.canonical_map(quota.status.hard), used=quantity.canonical_map(quota.status.used)
    )
    return change(quota, spec=spec, status=status)


def validate_resourcequota(quota: ResourceQuota) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, quota.metadata)
    spec = quota.spec
    _amount_rules(causes, "spec.hard", spec.hard or {})
    if spec.scopes:
        _scope_rules(causes, "spec.scopes", spec.scopes, spec)
    if spec.scope_selector is not None:
        _selector_rules(causes, "spec.scopeSelector.matchExpressions", spec)
    _amount_rules(causes, "status.hard", quota.status.hard or {})
    _amount_rules(causes, "status.used", quota.status.used or {})
    return causes.found


def validate_resourcequota_update(new: ResourceQuota, old: ResourceQuota) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if set(new.spec.scopes or ()) != set(old.spec.scopes or ()):
        causes.invalid("spec.scopes", new.spec.scopes, "field is immutable")
    return causes.found


def _amount_rules(causes: Causes, path: str, amounts: dict[str, Quantity]) -> None:
    for name, amount in amounts.items():
        at = f"{path}[{name}]"
        causes.check(at, name, label_key_problem(name))
        if "/" not in name and name not in STANDARD and not name.startswith(HUGE_PAGES):
            causes.invalid(at, name, "must be a standard resource for quotas")
        parsed = quantity.parse(amount)
        if parsed < 0:
            causes.invalid(at, amount, "must be greater than or equal to 0")
        if (name in OBJECT_COUNTS or name.startswith("count/")) and parsed != parsed.to_integral_value():
            causes.invalid(at, amount, "must be an integer")


def _scope_rules(causes: Causes, path: str, scopes: Sequence[str], spec: ResourceQuotaSpec) -> None:
    for scope in scopes:
        if scope not in SCOPES:
            causes.invalid(path, scopes, "unsupported scope")
        for resource in spec.hard or {}:
            if (resource in STANDARD or resource.startswith(HUGE_PAGES)) and not _fits(scope, resource):
                causes.invalid(path, scopes, "unsupported scope applied to resource")
    for pair in ((BEST_EFFORT, NOT_BEST_EFFORT), (TERMINATING, NOT_TERMINATING)):
        if set(scopes) >= set(pair):
            causes.invalid(path, scopes, "conflicting scopes")


def _selector_rules(causes: Causes, path: str, spec: ResourceQuotaSpec) -> None:
    assert spec.scope_selector is not None
    requirements = spec.scope_selector.match_expressions or ()
    for requirement in requirements:
        values = requirement.values or ()
        if requirement.scope_name not in SCOPES_WITH_VALUES and requirement.operator != "Exists":
            causes.invalid(
                f"{path}.operator", requirement.operator,
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity",
            )  # fmt: skip
        if requirement.operator not in OPERATORS:
            causes.invalid(f"{path}.operator", requirement.operator, "not a valid selector operator")
        elif requirement.operator in ("In", "NotIn") and not values:
            causes.required(
                f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
        elif requirement.operator in ("Exists", "DoesNotExist") and values:
            causes.invalid(
                f"{path}.values", values,
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            )  # fmt: skip
    _scope_rules(causes, path, [requirement.scope_name for requirement in requirements], spec)


def _fits(scope: str, resource: str) -> bool:
    """Whether a quota with this scope can count this resource."""
    if scope == BEST_EFFORT:
        return resource == "pods"
    if scope == VOLUME_ATTRIBUTES_CLASS:
        return resource in ("persistentvolumeclaims", "requests.storage")
    return scope not in SCOPES or resource == "pods" or resource in POD_COMPUTE
