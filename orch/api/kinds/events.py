"""The kinds of the group events.k8s.io: events anew, in the form that newer clients write."""

from collections.abc import Callable, Mapping

from orch.api.codec import StructCodec
from orch.api.events import Event, from_core, to_core, validate_event_update, validate_new_event
from orch.api.kind import Kind, StoredAs
from orch.api.kinds.core import EVENTS

_FIELDS: Mapping[str, Callable[[Event], str]] = {
    "regarding.kind": lambda event: event.regarding.kind or "",
    "regarding.namespace": lambda event: event.regarding.namespace or "",
    "regarding.name": lambda event: event.regarding.name or "",
    "regarding.uid": lambda event: event.regarding.uid or "",
    "regarding.apiVersion": lambda event: event.regarding.api_version or "",
    "regarding.resourceVersion": lambda event: event.regarding.resource_version or "",
    "regarding.fieldPath": lambda event: event.regarding.field_path or "",
    "reason": lambda event: event.reason or "",
    "reportingController": lambda event: event.reporting_controller or "",
    "type": lambda event: event.type or "",
}

EVENTS_V1: Kind[Event] = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    codec=StructCodec(Event),
    validate=validate_new_event,
    validate_update=validate_event_update,
    short_names=("ev",),
    fields=_FIELDS,
    stored_as=StoredAs(EVENTS, to_core, from_core),
)
