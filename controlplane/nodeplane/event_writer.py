"""Events from agents into the API. A repetition counts up on the object of the first, as Kubernetes' recorder does.

Best effort by nature: writes are paced, so that a burst of pods has the API for itself; when too many wait, the oldest
are dropped and the drop is logged; nothing waits for an event.
"""

import asyncio
from collections import OrderedDict, deque

import structlog
from msgspec.structs import replace

from orch.api.event import Event
from orch.api.kinds import EVENTS
from orch.client.client import Client
from orch.client.events import TokenBucket
from orch.errors import ApiError, NotFound
from orch.kit.clock import Clock
from orch.kit.ids import Ids

log = structlog.get_logger(__name__)

WAITING_MAX = 10_000
REMEMBERED_MAX = 4_096
"""Events whose repetitions are counted on one object."""
WRITES_PER_S_MAX = 100.0
WRITES_BURST_MAX = 100

Sameness = tuple[str, ...]


def sameness(event: Event) -> Sameness:
    """Events that agree in this are one event that repeats."""
    about = event.involved_object
    return (
        about.uid or f"{about.kind}/{about.namespace}/{about.name}", about.field_path or "", event.type or "",
        event.reason or "", event.message or "", event.source.component or "", event.source.host or "",
    )  # fmt: skip


class EventWriter:
    def __init__(self, client: Client, clock: Clock, ids: Ids) -> None:
        self._client, self._clock, self._ids = client, clock, ids
        self._waiting: deque[Event] = deque(maxlen=WAITING_MAX)
        self._wake = asyncio.Event()
        self._written: OrderedDict[Sameness, Event] = OrderedDict()

    def submit(self, event: Event) -> None:
        if len(self._waiting) == WAITING_MAX:
            log.warning("event_dropped", waiting=WAITING_MAX)
        self._waiting.append(event)
        self._wake.set()

    async def run(self) -> None:
        pace = TokenBucket(WRITES_BURST_MAX, WRITES_PER_S_MAX, self._clock.monotonic())
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await asyncio.sleep(pace.reserve_s(self._clock.monotonic()))
                await self._write(self._waiting.popleft())

    async def _write(self, event: Event) -> None:
        key = sameness(event)
        try:
            known = self._written.get(key)
            stored = await (self._create(event) if known is None else self._count(known, event))
        except ApiError as error:
            log.info("event_not_written", reason=event.reason, about=event.involved_object.name, error=str(error))
            self._written.pop(key, None)
            return
        except Exception:  # a fault of the program; an event must not end the server
            log.exception("event_dropped_by_fault", reason=event.reason, about=event.involved_object.name)
            return
        self._written[key] = stored
        self._written.move_to_end(key)
        if len(self._written) > REMEMBERED_MAX:
            self._written.popitem(last=False)

    async def _create(self, event: Event) -> Event:
        name = f"{event.involved_object.name}.{self._ids.suffix(10)}"
        namespace = event.involved_object.namespace or "default"
        meta = replace(event.metadata, name=name, namespace=namespace)
        return await self._client.create(EVENTS, replace(event, metadata=meta, count=event.count or 1))

    async def _count(self, known: Event, event: Event) -> Event:
        """Counts one more on the stored object; one that is gone by age starts again."""
        plain = EVENTS.codec.to_plain(event)
        patch = {"count": (known.count or 1) + (event.count or 1), "lastTimestamp": plain.get("lastTimestamp")}
        try:
            return await self._client.patch(EVENTS, known.metadata.name, known.metadata.namespace, patch)
        except NotFound:
            return await self._create(event)
