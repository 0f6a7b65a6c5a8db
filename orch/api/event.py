"""Event (core/v1)."""

from datetime import UTC, datetime

from orch.api.base import ApiStruct, Int32, MicroTime, Time, always
from orch.api.change import change
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


def event_defaults(event: Event) -> Event:
    """Clients send fractions of seconds and local offsets; the API keeps whole seconds of UTC."""
    return change(
        event,
        first_timestamp=_whole(event.first_timestamp),
        last_timestamp=_whole(event.last_timestamp),
    )


def _whole(moment: datetime | None) -> datetime | None:
    if moment is None or (moment.tzinfo is UTC and not moment.microsecond):
        return moment
    return moment.astimezone(UTC).replace(microsecond=0)
