"""The columns of ingresses, network policies, quotas, limit ranges, runtime classes and priority classes."""

from datetime import datetime

from controlplane.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Column,
    Printer,
    created,
    selector,
    some,
)
from orch.api.ingress import CLASS_ANNOTATION, Ingress, IngressClass
from orch.api.limitrange import LimitRange
from orch.api.networkpolicy import NetworkPolicy
from orch.api.priorityclass import PriorityClass
from orch.api.resourcequota import ResourceQuota
from orch.api.runtimeclass import RuntimeClass

LIMITS_PREFIX = "limits."


def ingress_cells(ingress: Ingress, now: datetime) -> list[Cell]:
    spec = ingress.spec
    old_class = (ingress.metadata.annotations or {}).get(CLASS_ANNOTATION)
    given = ingress.status.load_balancer.ingress or ()
    return [
        ingress.metadata.name,
        spec.ingress_class_name or old_class or NONE,
        some([rule.host for rule in spec.rules or () if rule.host], "*"),
        ",".join(entry.ip or entry.hostname or "" for entry in given),
        "80, 443" if spec.tls else "80",
        created(ingress, now),
    ]


def ingress_class_cells(ingress_class: IngressClass, now: datetime) -> list[Cell]:
    reference, parameters = ingress_class.spec.parameters, NONE
    if reference is not None:
        group = f".{reference.api_group}" if reference.api_group else ""
        parameters = f"{reference.kind}{group}/{reference.name}"
    return [ingress_class.metadata.name, ingress_class.spec.controller or "", parameters, created(ingress_class, now)]


def network_policy_cells(policy: NetworkPolicy, now: datetime) -> list[Cell]:
    return [policy.metadata.name, selector(policy.spec.pod_selector), created(policy, now)]


def quota_cells(quota: ResourceQuota, now: datetime) -> list[Cell]:
    hard, used = quota.status.hard or {}, quota.status.used or {}
    texts = {name: f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(hard)}
    requests = ", ".join(text for name, text in texts.items() if not name.startswith(LIMITS_PREFIX))
    limits = ", ".join(text for name, text in texts.items() if name.startswith(LIMITS_PREFIX))
    return [quota.metadata.name, requests, limits, created(quota, now)]


def limit_range_cells(limit_range: LimitRange, now: datetime) -> list[Cell]:
    made = limit_range.metadata.creation_timestamp
    return [limit_range.metadata.name, made.strftime("%Y-%m-%dT%H:%M:%SZ") if made else ""]


def runtime_class_cells(runtime_class: RuntimeClass, now: datetime) -> list[Cell]:
    return [runtime_class.metadata.name, runtime_class.handler, created(runtime_class, now)]


def priority_class_cells(priority_class: PriorityClass, now: datetime) -> list[Cell]:
    return [
        priority_class.metadata.name,
        priority_class.value,
        bool(priority_class.global_default),
        created(priority_class, now),
        priority_class.preemption_policy or UNSET,
    ]


INGRESSES = Printer((NAME, *map(Column, ("Class", "Hosts", "Address", "Ports")), AGE), ingress_cells)
INGRESSCLASSES = Printer((NAME, Column("Controller"), Column("Parameters"), AGE), ingress_class_cells)
NETWORKPOLICIES = Printer((NAME, Column("Pod-Selector"), AGE), network_policy_cells)
RESOURCEQUOTAS = Printer((NAME, Column("Request"), Column("Limit"), AGE), quota_cells)
LIMITRANGES = Printer((NAME, Column("Created At")), limit_range_cells)
RUNTIMECLASSES = Printer((NAME, Column("Handler"), AGE), runtime_class_cells)
PRIORITYCLASSES = Printer(
    (NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
    priority_class_cells,
)
