"""Records Events (core/v1) about objects: what a user sees under `describe`. Must never slow or stop who records.

Equal events become one Event object with a count. As in client-go, each object may be written about 25 times at once
and then every five minutes; all writes together are paced, so that a burst of events leaves the API to the work they
tell of. What does not fit is dropped, and the log says how many.

Invariant: one writer, so that two counts of one Event never race.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import structlog

from orch.api.event import Event, EventSource
from orch.api.kinds import EVENTS
from orch.api.meta import Object, ObjectMeta
from orch.api.shared import ObjectReference
from orch.client.client import Client
from orch.errors import ApiError, NotFound
from orch.kit.clock import Clock, whole_seconds
from orch.kit.ids import Ids

log = structlog.get_logger(__name__)

PENDING_MAX = 1000
REMEMBERED_MAX = 4096
WRITES_PER_S_MAX = 50.0
WRITES_BURST_MAX = 200
PER_OBJECT_BURST_MAX = 25
PER_OBJECT_REFILL_S = 300.0
MESSAGE_LENGTH_MAX = 1024
CLUSTER_SCOPED_NAMESPACE = "default"
"""Where events about cluster-scoped objects are kept, as in Kubernetes."""


@dataclass(frozen=True, slots=True)
class Record:
    """Equal records are one Event with a count."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    action: str


class TokenBucket:
    """`burst` at once, then `per_s`."""

    def __init__(self, burst: int, per_s: float, now_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._tokens, self._at_s = float(burst), now_s

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed now."""
        self._refill(now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def reserve_s(self, now_s: float) -> float:
        """Takes the next token, in debt if need be; how many seconds to wait before using it."""
        self._refill(now_s)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_s)

    def _refill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s


class EventRecorder:
    """`record` may be called at any time; `run` writes, and is a background loop of its owner."""

    def __init__(self, client: Client, clock: Clock, ids: Ids, *, component: str) -> None:
        self._client, self._clock, self._ids, self._component = client, clock, ids, component
        self._pending: asyncio.Queue[tuple[Record, datetime]] = asyncio.Queue(PENDING_MAX)
        self._written: OrderedDict[Record, Event] = OrderedDict()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._dropped = 0

    def record(self, about: Object, type_: str, reason: str, message: str, *, action: str = "") -> None:
        """`type_` is Normal or Warning; `reason` a constant in CamelCase."""
        metadata = about.metadata
        record = Record(
            about.api_version, about.kind, metadata.namespace, metadata.name, metadata.uid,
            type_, reason, message[:MESSAGE_LENGTH_MAX], action,
        )  # fmt: skip
        if not self._may_write_about(metadata.uid) or self._pending.full():
            self._dropped += 1
            return
        self._pending.put_nowait((record, self._clock.now()))

    async def run(self) -> None:
        pace = TokenBucket(WRITES_BURST_MAX, WRITES_PER_S_MAX, self._clock.monotonic())
        while True:
            record, moment = await self._pending.get()
            await asyncio.sleep(pace.reserve_s(self._clock.monotonic()))
            if self._dropped:
                log.info("events_dropped", count=self._dropped)
                self._dropped = 0
            try:
                await self._write(record, whole_seconds(moment))
            except ApiError as error:
                log.info("event_not_written", reason=record.reason, name=record.name, error=str(error))
            except Exception:  # a fault of the program; an event must not end who records it
                log.exception("event_dropped_by_fault", reason=record.reason, name=record.name)

    def _may_write_about(self, uid: str) -> bool:
        now_s = self._clock.monotonic()
        bucket = self._buckets.get(uid)
        if bucket is None:
            bucket = self._buckets[uid] = TokenBucket(PER_OBJECT_BURST_MAX, 1 / PER_OBJECT_REFILL_S, now_s)
        self._buckets.move_to_end(uid)
        if len(self._buckets) > REMEMBERED_MAX:
            self._buckets.popitem(last=False)
        return bucket.take(now_s)

    async def _write(self, record: Record, moment: datetime) -> None:
        event = self._written.get(record)
        if event is not None:
            try:
                self._remember(record, await self._count(event, moment))
                return
            except NotFound:
                log.debug("event_expired", name=event.metadata.name)
        self._remember(record, await self._client.create(EVENTS, self._event(record, moment)))

    async def _count(self, event: Event, moment: datetime) -> Event:
        patch = {"count": (event.count or 1) + 1, "lastTimestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return await self._client.patch(EVENTS, event.metadata.name, event.metadata.namespace, patch)

    def _remember(self, record: Record, event: Event) -> None:
        self._written[record] = event
        self._written.move_to_end(record)
        if len(self._written) > REMEMBERED_MAX:
            self._written.popitem(last=False)

    def _event(self, record: Record, moment: datetime) -> Event:
        namespace = record.namespace or CLUSTER_SCOPED_NAMESPACE
        return Event(
            metadata=ObjectMeta(namespace=namespace, name=f"{record.name[:236]}.{self._ids.suffix(16)}"),
            involved_object=ObjectReference(
                api_version=record.api_version, kind=record.kind, namespace=record.namespace or None,
                name=record.name, uid=record.uid,
            ),
            type=record.type,
            reason=record.reason,
            message=record.message,
            action=record.action or None,
            count=1,
            first_timestamp=moment,
            last_timestamp=moment,
            reporting_component=self._component,
            source=EventSource(component=self._component),
        )  # fmt: skip
