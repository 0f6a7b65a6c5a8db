"""Event (events.k8s.io/v1): another form of the Event of the core group, in which it is stored.

What the new form demands beyond the old one is checked where a client writes it (events/v1 ValidateEventCreate).
"""

from collections.abc import Sequence

from orch.api.base import ApiStruct, Int32, MicroTime, Time, always
from orch.api.causes import Causes
from orch.api.event import Event as CoreEvent
from orch.api.event import EventSeries as CoreEventSeries
from orch.api.event import EventSource
from orch.api.meta import Object, ObjectMeta
from orch.api.shared import ObjectReference
from orch.errors import Cause


class EventSeries(ApiStruct):
    count: Int32 = always(0)
    last_observed_time: MicroTime | None = None


class Event(Object):
    api_version: str = always("events.k8s.io/v1")
    kind: str = always("Event")
    metadata: ObjectMeta = always(ObjectMeta())
    action: str | None = None
    deprecated_count: Int32 | None = None
    deprecated_first_timestamp: Time | None = None
    deprecated_last_timestamp: Time | None = None
    deprecated_source: EventSource = always(EventSource())
    event_time: MicroTime | None = None
    note: str | None = None
    reason: str | None = None
    regarding: ObjectReference = always(ObjectReference())
    related: ObjectReference | None = None
    reporting_controller: str | None = None
    reporting_instance: str | None = None
    series: EventSeries | None = None
    type: str | None = None


def to_core(event: Event) -> CoreEvent:
    return CoreEvent(
        metadata=event.metadata,
        action=event.action,
        count=event.deprecated_count,
        event_time=event.event_time,
        first_timestamp=event.deprecated_first_timestamp,
        involved_object=event.regarding,
        last_timestamp=event.deprecated_last_timestamp,
        message=event.note,
        reason=event.reason,
        related=event.related,
        reporting_component=event.reporting_controller,
        reporting_instance=event.reporting_instance,
        series=_series_to_core(event.series),
        source=event.deprecated_source,
        type=event.type,
    )


def from_core(event: CoreEvent) -> Event:
    return Event(
        metadata=event.metadata,
        action=event.action,
        deprecated_count=event.count,
        deprecated_first_timestamp=event.first_timestamp,
        deprecated_last_timestamp=event.last_timestamp,
        deprecated_source=event.source,
        event_time=event.event_time,
        note=event.message,
        reason=event.reason,
        regarding=event.involved_object,
        related=event.related,
        reporting_controller=event.reporting_component,
        reporting_instance=event.reporting_instance,
        series=_series_from_core(event.series),
        type=event.type,
    )


def _series_to_core(series: EventSeries | None) -> CoreEventSeries | None:
    if series is None:
        return None
    return CoreEventSeries(count=series.count or None, last_observed_time=series.last_observed_time)


def _series_from_core(series: CoreEventSeries | None) -> EventSeries | None:
    if series is None:
        return None
    return EventSeries(count=series.count or 0, last_observed_time=series.last_observed_time)


def validate_new_event(event: Event) -> Sequence[Cause]:
    """What the core form leaves open. The rules of an event with eventTime hold besides."""
    causes = Causes()
    if event.event_time is None:
        causes.required("eventTime")
    _series_rules(causes, event.series)
    for name, value in (
        ("deprecatedFirstTimestamp", event.deprecated_first_timestamp),
        ("deprecatedLastTimestamp", event.deprecated_last_timestamp),
        ("deprecatedCount", event.deprecated_count),
    ):
        if value:
            causes.invalid(name, value, "needs to be unset")
    if event.deprecated_source != EventSource():
        causes.invalid("deprecatedSource", event.deprecated_source, "needs to be unset")
    return causes.found


def _series_rules(causes: Causes, series: EventSeries | None) -> None:
    if series is None:
        return
    if series.count < 2:
        causes.invalid("series.count", series.count, "should be at least 2")
    if series.last_observed_time is None:
        causes.required("series.lastObservedTime")


_CHANGEABLE = frozenset({"api_version", "kind", "metadata", "series"})


def validate_event_update(new: Event, old: Event) -> Sequence[Cause]:
    """Of a written event only the series goes on."""
    causes = Causes()
    for name, field in zip(Event.__struct_fields__, Event.__struct_encode_fields__, strict=True):
        if name not in _CHANGEABLE:
            causes.immutable(field, getattr(new, name), getattr(old, name))
    _series_rules(causes, new.series)
    return causes.found
