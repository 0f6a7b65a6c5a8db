"""meta/v1 Table bodies. A kind without a printer of its own gets NAME and AGE, as custom resources do."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from controlplane.apiserver.tables.batch import CRONJOBS, JOBS
from controlplane.apiserver.tables.cluster import EVENTS, LEASES, NAMESPACES, NODES
from controlplane.apiserver.tables.columns import AGE, NAME, Cell, Printer, created
from controlplane.apiserver.tables.config import CONFIGMAPS, SECRETS, SERVICEACCOUNTS
from controlplane.apiserver.tables.networks import ENDPOINTS, ENDPOINTSLICES, SERVICES
from controlplane.apiserver.tables.pods import PODS
from controlplane.apiserver.tables.policies import (
    INGRESSCLASSES,
    INGRESSES,
    LIMITRANGES,
    NETWORKPOLICIES,
    PRIORITYCLASSES,
    RESOURCEQUOTAS,
    RUNTIMECLASSES,
)
from controlplane.apiserver.tables.scaling import HORIZONTALPODAUTOSCALERS, PODDISRUPTIONBUDGETS
from controlplane.apiserver.tables.storage import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES
from controlplane.apiserver.tables.workloads import (
    CONTROLLERREVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    PODTEMPLATES,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
)
from controlplane.registry.interface import Stored
from orch.api.kind import Kind
from orch.api.meta import Object, ObjectMeta
from orch.errors import BadRequest

INCLUDES = ("", "None", "Metadata", "Object")
"""Values of includeObject; empty means Metadata."""

PRINTERS: Mapping[tuple[str, str], Printer[Any]] = {
    ("", "configmaps"): CONFIGMAPS,
    ("", "endpoints"): ENDPOINTS,
    ("", "events"): EVENTS,
    ("", "limitranges"): LIMITRANGES,
    ("", "namespaces"): NAMESPACES,
    ("", "nodes"): NODES,
    ("", "persistentvolumeclaims"): PERSISTENTVOLUMECLAIMS,
    ("", "persistentvolumes"): PERSISTENTVOLUMES,
    ("", "pods"): PODS,
    ("", "podtemplates"): PODTEMPLATES,
    ("", "replicationcontrollers"): REPLICATIONCONTROLLERS,
    ("", "resourcequotas"): RESOURCEQUOTAS,
    ("", "secrets"): SECRETS,
    ("", "serviceaccounts"): SERVICEACCOUNTS,
    ("", "services"): SERVICES,
    ("apps", "controllerrevisions"): CONTROLLERREVISIONS,
    ("apps", "daemonsets"): DAEMONSETS,
    ("apps", "deployments"): DEPLOYMENTS,
    ("apps", "replicasets"): REPLICASETS,
    ("apps", "statefulsets"): STATEFULSETS,
    ("autoscaling", "horizontalpodautoscalers"): HORIZONTALPODAUTOSCALERS,
    ("batch", "cronjobs"): CRONJOBS,
    ("batch", "jobs"): JOBS,
    ("coordination.k8s.io", "leases"): LEASES,
    ("discovery.k8s.io", "endpointslices"): ENDPOINTSLICES,
    ("networking.k8s.io", "ingressclasses"): INGRESSCLASSES,
    ("networking.k8s.io", "ingresses"): INGRESSES,
    ("networking.k8s.io", "networkpolicies"): NETWORKPOLICIES,
    ("node.k8s.io", "runtimeclasses"): RUNTIMECLASSES,
    ("policy", "poddisruptionbudgets"): PODDISRUPTIONBUDGETS,
    ("scheduling.k8s.io", "priorityclasses"): PRIORITYCLASSES,
    ("storage.k8s.io", "storageclasses"): STORAGECLASSES,
}


def generic_cells(obj: Object, now: datetime) -> list[Cell]:
    return [obj.metadata.name, created(obj, now)]


GENERIC = Printer((NAME, AGE), generic_cells)

_encoder = msgspec.json.Encoder()


class _Metadata(msgspec.Struct, frozen=True):
    """PartialObjectMetadata of a row."""

    kind: str
    apiVersion: str
    metadata: ObjectMeta


class _Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """meta/v1 TableRow."""

    cells: Sequence[Cell]
    object: msgspec.Raw | _Metadata | None = None


def table_body(
    kind: Kind[Any],
    items: Sequence[Stored[Any]],
    meta: Mapping[str, Any],
    version: str,
    include: str,
    now: datetime,
) -> bytes:
    """A Table of `items`, with its column definitions."""
    if include not in INCLUDES:
        raise BadRequest(f'includeObject: Unsupported value: "{include}": supported values: None, Metadata, Object')
    printer = PRINTERS.get((kind.stored.group, kind.stored.plural), GENERIC)
    table = {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta,
        "columnDefinitions": [column.to_plain() for column in printer.columns],
        "rows": [_row(kind, printer, stored, version, include, now) for stored in items],
    }
    return _encoder.encode(table)


def _row(
    kind: Kind[Any], printer: Printer[Any], stored: Stored[Any], version: str, include: str, now: datetime
) -> _Row:
    cells = printer.cells(kind.to_stored(stored.obj), now)
    if include == "None":
        return _Row(cells)
    if include == "Object":
        return _Row(cells, msgspec.Raw(stored.data))
    return _Row(cells, _Metadata("PartialObjectMetadata", f"meta.k8s.io/{version}", stored.obj.metadata))
