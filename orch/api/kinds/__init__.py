"""The kinds that Orch serves, each declared once, in the file of its API group: names, scope, types, rules.

`builtin_kinds()` gives a fresh table; a server may register more kinds in it while it runs.
"""

from typing import Any

from orch.api.codec import UntypedCodec, UntypedObject
from orch.api.kind import Kind, KindTable
from orch.api.kinds.apps import CONTROLLERREVISIONS, DAEMONSETS, DEPLOYMENTS, REPLICASETS, STATEFULSETS
from orch.api.kinds.authentication import SELFSUBJECTREVIEWS, TOKENREVIEWS
from orch.api.kinds.authorization import (
    LOCALSUBJECTACCESSREVIEWS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    SUBJECTACCESSREVIEWS,
)
from orch.api.kinds.autoscaling import HORIZONTALPODAUTOSCALERS, HORIZONTALPODAUTOSCALERS_V1
from orch.api.kinds.batch import CRONJOBS, JOBS
from orch.api.kinds.coordination import LEASES
from orch.api.kinds.core import (
    CONFIGMAPS,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
)
from orch.api.kinds.core_resources import LIMITRANGES, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, RESOURCEQUOTAS
from orch.api.kinds.core_workloads import PODTEMPLATES, REPLICATIONCONTROLLERS
from orch.api.kinds.discovery import ENDPOINTSLICES
from orch.api.kinds.events import EVENTS_V1
from orch.api.kinds.metrics import NODEMETRICS, PODMETRICS
from orch.api.kinds.networking import INGRESSCLASSES, INGRESSES, NETWORKPOLICIES
from orch.api.kinds.node import RUNTIMECLASSES
from orch.api.kinds.policy import PODDISRUPTIONBUDGETS
from orch.api.kinds.scheduling import PRIORITYCLASSES
from orch.api.kinds.storage import STORAGECLASSES
from orch.api.metadata import object_validator, validate_metadata_update

ALL_KINDS: tuple[Kind[Any], ...] = (
    PODS, NODES, NAMESPACES, CONFIGMAPS, SECRETS, SERVICEACCOUNTS, SERVICES, ENDPOINTS, ENDPOINTSLICES, EVENTS, LEASES,
    PERSISTENTVOLUMES, PERSISTENTVOLUMECLAIMS, RESOURCEQUOTAS, LIMITRANGES, INGRESSES, INGRESSCLASSES, NETWORKPOLICIES,
    STORAGECLASSES, RUNTIMECLASSES, PRIORITYCLASSES,
    REPLICASETS, DEPLOYMENTS, EVENTS_V1, PODTEMPLATES, REPLICATIONCONTROLLERS, STATEFULSETS, DAEMONSETS,
    CONTROLLERREVISIONS, JOBS, CRONJOBS, HORIZONTALPODAUTOSCALERS, HORIZONTALPODAUTOSCALERS_V1, PODDISRUPTIONBUDGETS,
)  # fmt: skip

REVIEW_KINDS: tuple[Kind[Any], ...] = (
    TOKENREVIEWS, SELFSUBJECTREVIEWS, SUBJECTACCESSREVIEWS, LOCALSUBJECTACCESSREVIEWS, SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
)  # fmt: skip
"""Virtual: they are asked, and nothing of them is kept."""

METRICS_KINDS: tuple[Kind[Any], ...] = (NODEMETRICS, PODMETRICS)
"""Virtual: made of what the nodes report, when they are read."""


def builtin_kinds() -> KindTable:
    """A new table of all kinds."""
    return KindTable((*ALL_KINDS, *REVIEW_KINDS, *METRICS_KINDS))


def untyped_kind(
    group: str,
    version: str,
    kind: str,
    plural: str,
    *,
    namespaced: bool = True,
    subresources: frozenset[str] = frozenset(),
) -> Kind[UntypedObject]:
    """A kind without types, to be registered at run time: its metadata is checked, all else is stored as it comes."""
    return Kind(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        codec=UntypedCodec(f"{group}/{version}" if group else version, kind),
        namespaced=namespaced,
        subresources=subresources,
        validate=object_validator(namespaced=namespaced),
        validate_update=validate_metadata_update,
    )


__all__ = [
    "ALL_KINDS",
    "CONFIGMAPS",
    "CONTROLLERREVISIONS",
    "CRONJOBS",
    "DAEMONSETS",
    "DEPLOYMENTS",
    "ENDPOINTS",
    "ENDPOINTSLICES",
    "EVENTS",
    "EVENTS_V1",
    "HORIZONTALPODAUTOSCALERS",
    "HORIZONTALPODAUTOSCALERS_V1",
    "INGRESSCLASSES",
    "INGRESSES",
    "JOBS",
    "LEASES",
    "LIMITRANGES",
    "LOCALSUBJECTACCESSREVIEWS",
    "METRICS_KINDS",
    "NAMESPACES",
    "NETWORKPOLICIES",
    "NODEMETRICS",
    "NODES",
    "PERSISTENTVOLUMECLAIMS",
    "PERSISTENTVOLUMES",
    "PODDISRUPTIONBUDGETS",
    "PODMETRICS",
    "PODS",
    "PODTEMPLATES",
    "PRIORITYCLASSES",
    "REPLICASETS",
    "REPLICATIONCONTROLLERS",
    "RESOURCEQUOTAS",
    "REVIEW_KINDS",
    "RUNTIMECLASSES",
    "SECRETS",
    "SELFSUBJECTACCESSREVIEWS",
    "SELFSUBJECTREVIEWS",
    "SELFSUBJECTRULESREVIEWS",
    "SERVICEACCOUNTS",
    "SERVICES",
    "STATEFULSETS",
    "STORAGECLASSES",
    "SUBJECTACCESSREVIEWS",
    "TOKENREVIEWS",
    "builtin_kinds",
    "untyped_kind",
]
