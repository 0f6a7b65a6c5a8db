"""What an object counts in a ResourceQuota, and which quotas look at it (kubernetes `pkg/quota/v1/evaluator/core`).

Pure: objects in, exact amounts by quota resource name out. Invariant: an object's usage does not depend on others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from orch.api import quantity
from orch.api.kind import Kind
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PODS, SERVICES
from orch.api.meta import Object
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.allocation import held_requests
from orch.api.pod.container import Container
from orch.api.pod.effective import summed
from orch.api.pod.pod_level import has_pod_level, limits_of, requests_of
from orch.api.pod.spec import Pod
from orch.api.pod.status import TERMINAL_PHASES
from orch.api.resourcequota import (
    BEST_EFFORT,
    CROSS_NAMESPACE_AFFINITY,
    NOT_BEST_EFFORT,
    NOT_TERMINATING,
    OBJECT_COUNTS,
    PRIORITY_CLASS,
    TERMINATING,
    VOLUME_ATTRIBUTES_CLASS,
    ResourceQuota,
    ScopedResourceSelectorRequirement,
)
from orch.api.service import Service

Amounts = Mapping[str, Decimal]
ONE = Decimal(1)
NATIVE = frozenset({"cpu", "memory", "ephemeral-storage"})
MUST_BE_SPECIFIED = frozenset({
    "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory",
})  # fmt: skip
OF_STORAGE_CLASS = ".storageclass.storage.k8s.io/"


def hard_amounts(quota: ResourceQuota) -> dict[str, Decimal]:
    return quantity.parse_map(quota.spec.hard)


def counts(kind: Kind[Any], resource: str) -> bool:
    """Whether objects of the kind can count in this resource of a quota."""
    if resource in _object_counts(kind):
        return True
    if kind is PODS:
        name = resource.removeprefix("requests.").removeprefix("limits.")
        return name in NATIVE or name.startswith("hugepages-") or (
            resource.startswith("requests.") and "/" in name
        )  # fmt: skip
    if kind is SERVICES:
        return resource in ("services.nodeports", "services.loadbalancers")
    if kind is PERSISTENTVOLUMECLAIMS:
        return resource == "requests.storage" or OF_STORAGE_CLASS in resource
    return False


def usage(kind: Kind[Any], obj: Object, now: datetime) -> dict[str, Decimal]:
    """Quota resource -> amount. A pod that has ended, or should have long ago, counts as an object only."""
    used = dict.fromkeys(_object_counts(kind), ONE)
    match obj:
        case Pod():
            if is_over(obj, now):
                used.pop("pods")
            else:
                used |= _pod_compute(obj)
        case Service():
            used |= _service_counts(obj)
        case PersistentVolumeClaim():
            used |= _claim_storage(obj)
    return used


def is_over(pod: Pod, now: datetime) -> bool:
    deadline, grace_s = pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds
    overdue = deadline is not None and grace_s is not None and now > deadline + timedelta(seconds=grace_s)
    return pod.status.phase in TERMINAL_PHASES or overdue


def unspecified(kind: Kind[Any], obj: Object, resources: Sequence[str]) -> str:
    """Which containers lack an amount that a quota counts: `must specify limits.cpu for: app; ...`. "": none does."""
    needed = sorted(MUST_BE_SPECIFIED.intersection(resources))
    if not needed or not isinstance(obj, Pod) or has_pod_level(obj.spec):
        return ""
    lacking: dict[str, list[str]] = {}
    for container in (*(obj.spec.init_containers or ()), *obj.spec.containers):
        for name in set(needed) - set(_named(_container_amounts(container))):
            lacking.setdefault(name, []).append(container.name)
    texts = [f"{name} for: {','.join(lacking[name])}" for name in needed if name in lacking]
    return f"must specify {'; '.join(texts)}" if texts else ""


def in_scope(quota: ResourceQuota, obj: Object) -> bool:
    """Whether all scopes of a quota match. A quota with scopes looks at pods and claims only."""
    return all(_scope_matches(requirement, obj) for requirement in _requirements(quota))


def text(amounts: Mapping[str, Decimal]) -> str:
    """`cpu=1,pods=2`, as quota errors show amounts."""
    return ",".join(f"{name}={quantity.shown(name, amounts[name])}" for name in sorted(amounts))


def _object_counts(kind: Kind[Any]) -> tuple[str, ...]:
    named = f"count/{kind.resource}"
    return (named, kind.plural) if not kind.group and kind.plural in OBJECT_COUNTS else (named,)


def _pod_compute(pod: Pod) -> dict[str, Decimal]:
    spec = pod.spec
    overhead = quantity.parse_map(spec.overhead)
    requests = summed((requests_of(spec, held_requests(pod, quantity.parse_map), quantity.parse_map), overhead))
    limits = limits_of(spec, lambda c: quantity.parse_map(c.resources.limits), quantity.parse_map)
    limits = {name: amount + overhead.get(name, Decimal(0)) for name, amount in limits.items()}
    return _named((requests, limits))


def _container_amounts(container: Container) -> tuple[Amounts, Amounts]:
    return quantity.parse_map(container.resources.requests), quantity.parse_map(container.resources.limits)


def _named(amounts: tuple[Amounts, Amounts]) -> dict[str, Decimal]:
    """Requests and limits under the names that quotas have for them."""
    requests, limits = amounts
    used: dict[str, Decimal] = {}
    for name, amount in requests.items():
        if name in NATIVE or name.startswith("hugepages-"):
            used[name] = amount
        used[f"requests.{name}"] = amount
    return used | {f"limits.{name}": amount for name, amount in limits.items() if name in NATIVE}


def _service_counts(service: Service) -> dict[str, Decimal]:
    spec = service.spec
    ports = Decimal(len(spec.ports or ()))
    if spec.type == "NodePort":
        return {"services.nodeports": ports}
    if spec.type != "LoadBalancer":
        return {}
    if spec.allocate_load_balancer_node_ports is False:
        ports = Decimal(sum(1 for port in spec.ports or () if port.node_port))
    return {"services.nodeports": ports, "services.loadbalancers": ONE}


def _claim_storage(claim: PersistentVolumeClaim) -> dict[str, Decimal]:
    requested = quantity.parse_map(claim.spec.resources.requests).get("storage", Decimal(0))
    used = {"requests.storage": requested}
    if claim.spec.storage_class_name:
        prefix = f"{claim.spec.storage_class_name}{OF_STORAGE_CLASS}"
        used |= {f"{prefix}requests.storage": requested, f"{prefix}persistentvolumeclaims": ONE}
    return used


def _requirements(quota: ResourceQuota) -> Iterator[ScopedResourceSelectorRequirement]:
    for scope in quota.spec.scopes or ():
        yield ScopedResourceSelectorRequirement(scope_name=scope, operator="Exists")
    if quota.spec.scope_selector is not None:
        yield from quota.spec.scope_selector.match_expressions or ()


def _scope_matches(requirement: ScopedResourceSelectorRequirement, obj: Object) -> bool:
    scope = requirement.scope_name
    if isinstance(obj, Pod) and scope in _POD_SCOPES:
        return _POD_SCOPES[scope](obj)
    if isinstance(obj, Pod) and scope == PRIORITY_CLASS:
        return _named_matches(requirement, obj.spec.priority_class_name or "")
    if isinstance(obj, PersistentVolumeClaim) and scope == VOLUME_ATTRIBUTES_CLASS:
        return _named_matches(requirement, obj.spec.volume_attributes_class_name or "")
    return False


def _named_matches(requirement: ScopedResourceSelectorRequirement, name: str) -> bool:
    match requirement.operator:
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
        case "In":
            return name in (requirement.values or ())
    return name not in (requirement.values or ())


def _reaches_other_namespaces(pod: Pod) -> bool:
    affinity = pod.spec.affinity
    terms = [
        term
        for part in (affinity and affinity.pod_affinity, affinity and affinity.pod_anti_affinity)
        if part
        for term in (
            *(part.required_during_scheduling_ignored_during_execution or ()),
            *(w.pod_affinity_term for w in part.preferred_during_scheduling_ignored_during_execution or ()),
        )
    ]
    return any(term.namespaces or term.namespace_selector is not None for term in terms)


_POD_SCOPES: Mapping[str, Callable[[Pod], bool]] = {
    TERMINATING: lambda pod: pod.spec.active_deadline_seconds is not None,
    NOT_TERMINATING: lambda pod: pod.spec.active_deadline_seconds is None,
    BEST_EFFORT: lambda pod: pod.status.qos_class == BEST_EFFORT,
    NOT_BEST_EFFORT: lambda pod: pod.status.qos_class != BEST_EFFORT,
    CROSS_NAMESPACE_AFFINITY: _reaches_other_namespaces,
}
