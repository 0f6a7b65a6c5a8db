"""The columns of nodes, namespaces, leases and events."""

from datetime import datetime

import msgspec

from controlplane.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    Cell,
    Column,
    Printer,
    age,
    created,
    joined,
    wide,
)
from orch.api.event import Event
from orch.api.lease import Lease
from orch.api.namespace import Namespace
from orch.api.node import Node

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def node_cells(node: Node, now: datetime) -> list[Cell]:
    info = node.status.node_info
    addresses = {address.type: address.address for address in reversed(node.status.addresses or ())}
    return [
        node.metadata.name,
        _node_status(node),
        joined(_roles(node.metadata.labels or {})),
        created(node, now),
        info.kubelet_version,
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.os_image or UNKNOWN,
        info.kernel_version or UNKNOWN,
        info.container_runtime_version or UNKNOWN,
    ]


def _node_status(node: Node) -> str:
    ready = next((c.status for c in node.status.conditions or () if c.type == "Ready"), None)
    text = {None: "Unknown", "True": "Ready"}.get(ready, "NotReady")
    return f"{text},SchedulingDisabled" if node.spec.unschedulable else text


def _roles(labels: dict[str, str]) -> list[str]:
    roles = {key.removeprefix(ROLE_PREFIX) for key in labels if key.startswith(ROLE_PREFIX)} - {""}
    return sorted(roles | ({labels[ROLE_LABEL]} if labels.get(ROLE_LABEL) else set()))


def namespace_cells(namespace: Namespace, now: datetime) -> list[Cell]:
    return [namespace.metadata.name, namespace.status.phase or "", created(namespace, now)]


def lease_cells(lease: Lease, now: datetime) -> list[Cell]:
    return [lease.metadata.name, lease.spec.holder_identity or "", created(lease, now)]


def event_cells(event: Event, now: datetime) -> list[Cell]:
    about, source = event.involved_object, event.source
    kind = (about.kind or "").lower()
    first = event.first_timestamp or _moment(event.event_time)
    count = event.series.count if event.series is not None else event.count
    source_text = ", ".join(text for text in (source.component or event.reporting_component, source.host) if text)
    return [
        age(_last_seen(event), now),
        event.type or "",
        event.reason or "",
        f"{kind}/{about.name}" if about.name else kind,
        about.field_path or "",
        source_text,
        (event.message or "").strip(),
        age(first, now),
        count or 1,
        event.metadata.name,
    ]


def _last_seen(event: Event) -> datetime | None:
    """A series counts from its last occurrence, an event without timestamps from its eventTime."""
    if event.series is not None and event.series.last_observed_time:
        return _moment(event.series.last_observed_time)
    return event.last_timestamp or event.first_timestamp or _moment(event.event_time)


def _moment(text: str | None) -> datetime | None:
    return msgspec.convert(text, datetime) if text else None


NODES = Printer(
    (
        NAME,
        Column("Status"),
        Column("Roles"),
        AGE,
        Column("Version", description="Of the node's agent."),
        *map(wide, ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")),
    ),
    node_cells,
)
NAMESPACES = Printer((NAME, Column("Status"), AGE), namespace_cells)
LEASES = Printer((NAME, Column("Holder"), AGE), lease_cells)
EVENTS = Printer(
    (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        wide("Subobject"),
        wide("Source"),
        Column("Message"),
        wide("First Seen"),
        Column("Count", "integer", priority=1),
        Column("Name", format="name", priority=1),
    ),
    event_cells,
)
