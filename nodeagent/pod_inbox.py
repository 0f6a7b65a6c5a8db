"""What a pod's worker has not handled yet: at most one event for each thing that can be said of the pod.

Events that tell a level (what is wanted, what a probe finds, that inputs changed) replace the one that waits: a machine
acts on the last of them as on all. Answers to steps never meet their like, since no thing has two steps in flight.
Invariant: however much is posted, no more waits than kinds of events times containers, and the last of each is there.
"""

import asyncio
from collections.abc import Hashable

from nodeagent.pod_events import (
    ContainerCreated,
    ContainerExited,
    ContainerStarted,
    CreateFailed,
    EndPod,
    Event,
    HookEnded,
    ImageFailed,
    ImageReady,
    ProbeResult,
    StartFailed,
    StopFailed,
    TimerFired,
)

_FIRST_COUNTS = (EndPod, ContainerExited)
"""Said again, they are no news: the first order gives the pod its reason, and a container ends once."""


class PodInbox:
    """Of one reader. In order, but for what replaces another: it takes the other's place."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Event] = {}
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: Event) -> None:
        key = subject(event)
        if key not in self._waiting or not isinstance(event, _FIRST_COUNTS):
            self._waiting[key] = event
        self._arrived.set()

    async def get(self) -> Event:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.pop(next(iter(self._waiting)))


def subject(event: Event) -> Hashable:
    """What the event is about; of two with the same subject one is enough."""
    kind = type(event)
    match event:
        case TimerFired():
            return TimerFired, event.timer
        case EndPod():
            return EndPod, event.grace_s  # a shorter period hurries
        case ProbeResult():
            return ProbeResult, event.container, event.attempt, event.probe, event.decided
        case HookEnded():
            return HookEnded, event.container, event.attempt, event.hook
        case ImageReady() | ImageFailed():
            return kind, event.container, event.image
        case (
            ContainerCreated() | CreateFailed() | ContainerStarted() | StartFailed() | ContainerExited() | StopFailed()
        ):
            return kind, event.container, event.attempt
        case _:
            return kind.__name__
