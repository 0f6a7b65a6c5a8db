"""Image garbage collection by disk use, after kubelet's image manager (pkg/kubelet/images/image_gc_manager.go).

Above the high threshold images are removed, the one that was used longest ago first, until the disk is below the low
threshold. Never one that a container was made from, nor one that came a moment ago: its container may be on its way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import structlog

from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageInUse
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pressure import PERCENT, Level
from nodeagent.runtime.interface import Image
from orch.errors import OrchError
from orch.kit.clock import Clock

log = structlog.get_logger(__name__)

LOOK_PERIOD_S, COLLECT_PERIOD_S = 30.0, 300.0
"""How often it is noted which images are in use, and how often the disk's use is compared; the latter as kubelet."""


class InvalidPolicy(OrchError):
    """Thresholds that contradict each other."""


@dataclass(frozen=True, slots=True)
class Policy:
    high_percent: int = 85
    """100: images are never removed for the sake of disk use."""
    low_percent: int = 80
    min_age_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.low_percent <= self.high_percent <= PERCENT:
            raise InvalidPolicy(
                f"image garbage collection: low threshold {self.low_percent} and high threshold {self.high_percent} "
                "must be percentages, the low one not above the high one"
            )

    def excess_bytes(self, disk: Level) -> int:
        """What must be freed now; 0 below the high threshold."""
        used = (disk.capacity - disk.available) * PERCENT / max(disk.capacity, 1)
        if self.high_percent == PERCENT or used < self.high_percent:
            return 0
        return max(int(disk.capacity * (PERCENT - self.low_percent) / PERCENT) - disk.available, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """Monotonic seconds."""

    first_s: float
    used_s: float


Sightings = Mapping[str, Seen]
"""By image id."""


def look(images: Iterable[Image], in_use: Collection[str], before: Sightings, now_s: float) -> dict[str, Seen]:
    seen = {}
    for image in images:
        known = before.get(image.id, Seen(now_s, float("-inf")))
        seen[image.id] = Seen(known.first_s, now_s if image.id in in_use else known.used_s)
    return seen


def removable(
    images: Iterable[Image], in_use: Collection[str], seen: Sightings, min_age_s: float, now_s: float
) -> list[Image]:
    """In the order in which they go."""
    unused = [i for i in images if i.id not in in_use and i.id in seen and now_s - seen[i.id].first_s >= min_age_s]
    return sorted(unused, key=lambda image: (seen[image.id].used_s, seen[image.id].first_s))


class ImageGarbage:
    """`in_use` gives the ids of images that containers were made from, `disk` reads the file system of the images."""

    def __init__(
        self,
        images: NodeImages,
        in_use: Callable[[], Awaitable[Collection[str]]],
        disk: Callable[[], Level],
        policy: Policy,
        tell: Callable[[EmitEvent], None],
        clock: Clock,
    ) -> None:
        self._images, self._in_use, self._disk = images, in_use, disk
        self._policy, self._tell, self._clock = policy, tell, clock
        self._seen: Sightings = {}
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        long_ago = Seen(float("-inf"), float("-inf"))
        self._seen = {image.id: long_ago for image in await self._images.list()}
        collect_at = 0.0
        while True:
            try:
                await self.note()
                if self._clock.monotonic() >= collect_at:
                    collect_at = self._clock.monotonic() + COLLECT_PERIOD_S
                    await self.collect()
            except (OrchError, OSError) as error:
                log.warning("image_garbage_collection_failed", error=str(error), next="tried again")
                self._tell(EmitEvent("Warning", "ImageGCFailed", str(error)))
            await asyncio.sleep(LOOK_PERIOD_S)

    async def collect(self) -> None:
        """By the thresholds of disk use. Raises OrchError, OSError."""
        excess = self._policy.excess_bytes(self._disk())
        if not excess:
            return
        wanted = self._disk().available + excess
        freed, enough = await self._remove(lambda: self._disk().available >= wanted)
        if not enough:
            message = (
                "Failed to garbage collect required amount of images. "
                f"Attempted to free {excess} bytes, but only found {freed} bytes eligible to free."
            )
            self._tell(EmitEvent("Warning", "FreeDiskSpaceFailed", message))

    async def remove_unused(self) -> None:
        """All that may go: the node is short of disk. Raises OrchError, OSError."""
        await self._remove(lambda: False)

    async def note(self) -> Collection[str]:
        """Which images are here and which of them are in use; the latter's ids."""
        in_use = await self._in_use()
        self._seen = look(await self._images.list(), in_use, self._seen, self._clock.monotonic())
        return in_use

    async def _remove(self, enough: Callable[[], bool]) -> tuple[int, bool]:
        """(bytes freed, whether that was enough)."""
        async with self._one:
            before = self._disk().available
            in_use = await self.note()
            images, now_s = await self._images.list(), self._clock.monotonic()
            for image in removable(images, in_use, self._seen, self._policy.min_age_s, now_s):
                if enough():
                    break
                try:
                    await self._images.remove(image.id)
                except ImageInUse:
                    continue
                log.info("image_removed", image=image.id, names=image.names, reason="disk use")
            return max(self._disk().available - before, 0), enough()
