"""Event (core/v1)."""

from orch.api.base import ApiStruct, Int32, MicroTime, Time, always
from orch.api.meta import Object, ObjectMeta
from orch.api.shared import ObjectReference


class EventSeries(ApiStruct):
    count: Int32 | None = None
    last_observed_time: MicroTime | None = None


class EventSource(ApiStruct):
    component: str | None = None
    host: str | None = None


class Event(Object):
    api_version: str = always("v1")
    kind: str = always("Event")
    metadata: ObjectMeta = always(ObjectMeta())
    action: str | None = None
    count: Int32 | None = None
    event_time: MicroTime | None = None
    first_timestamp: Time | None = None
    involved_object: ObjectReference = always(ObjectReference())
    last_timestamp: Time | None = None
    message: str | None = None
    reason: str | None = None
    related: ObjectReference | None = None
    reporting_component: str | None = None
    reporting_instance: str | None = None
    series: EventSeries | None = None
    source: EventSource = always(EventSource())
    type: str | None = None
