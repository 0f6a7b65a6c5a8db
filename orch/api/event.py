"""Event (core/v1)."""

from collections.abc import Sequence
from datetime import UTC, datetime

from orch.api.base import ApiStruct, Int32, MicroTime, Time, always
from orch.api.causes import Causes
from orch.api.change import change
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.api.shared import ObjectReference
from orch.errors import Cause


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


NOTE_MAX_BYTES = 1024


def validate_event(event: Event) -> Sequence[Cause]:
    """An event lives in the namespace of what it is about; about cluster-scoped things in `default`."""
    causes = Causes()
    metadata_rules(causes, event.metadata)
    about = event.involved_object.namespace or ""
    if event.metadata.namespace not in ((about,) if about else ("", "default", "kube-system")):
        causes.invalid("involvedObject.namespace", about, "does not match event.namespace")
    if event.event_time is not None:
        _new_style_rules(causes, event)
    return causes.found


def _new_style_rules(causes: Causes, event: Event) -> None:
    """An event with eventTime is one of the events.k8s.io API, which demands more."""
    for name, value in (
        ("reportingController", event.reporting_component),
        ("reportingInstance", event.reporting_instance),
        ("action", event.action),
        ("reason", event.reason),
    ):
        if not value:
            causes.required(name)
    causes.one_of("type", event.type, ("Normal", "Warning"))
    if len((event.message or "").encode()) > NOTE_MAX_BYTES:
        causes.too_long("message", NOTE_MAX_BYTES)
