"""Image garbage collection: which images go, when, and what is told when that is not enough."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.images.garbage import ImageGarbage, InvalidPolicy, Policy, Seen, look, removable
from nodeagent.images.manifest import this_platform
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageStore
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pressure import Level
from nodeagent.runtime.interface import Image, ImageConfig
from tests.images import layer, write_layout


def image(name: str) -> Image:
    return Image(name, (name,), name, 1, ImageConfig(), ())


def test_the_one_used_longest_ago_goes_first() -> None:
    images = [image(name) for name in "abcd"]
    seen = {"a": Seen(0, 50), "b": Seen(0, 10), "c": Seen(0, 60), "d": Seen(95, 95)}
    assert [i.id for i in removable(images, {"c"}, seen, min_age_s=20, now_s=100)] == ["b", "a"]


def test_a_look_notes_what_is_new_and_what_is_used() -> None:
    seen = look([image("a"), image("b")], {"a"}, {"a": Seen(1, 2), "gone": Seen(1, 2)}, 9)
    assert seen == {"a": Seen(1, 9), "b": Seen(9, float("-inf"))}


@pytest.mark.parametrize(
    ("policy", "available", "excess"),
    [(Policy(), 16, 0), (Policy(), 15, 5), (Policy(), 2, 18), (Policy(100, 80), 0, 0), (Policy(90, 50), 10, 40)],
)
def test_what_is_to_be_freed(policy: Policy, available: int, excess: int) -> None:
    assert policy.excess_bytes(Level(available, 100)) == excess


def test_thresholds_that_contradict_each_other() -> None:
    with pytest.raises(InvalidPolicy):
        Policy(80, 85)


class Disk:
    """Each image takes 10 of 100."""

    def __init__(self, store: ImageStore, others: int) -> None:
        self._store, self.others = store, others

    def __call__(self) -> Level:
        return Level(100 - self.others - 10 * len(self._store.images()), 100)


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def monotonic(self) -> float:
        return self.now_s


class Node:
    """Three images, `a` `b` `c`, entered one after the other."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self.store, self.clock, self.used = ImageStore(str(folder / "store")), Hands(), set[str]()
        self.images = NodeImages(self.store, this_platform())
        self.told: list[EmitEvent] = []
        self.disk = Disk(self.store, 0)
        self.garbage = ImageGarbage(self.images, self.in_use, self.disk, policy, self.told.append, self.clock)
        self._folder = folder

    async def in_use(self) -> Collection[str]:
        return self.used

    async def enter(self, name: str) -> str:
        layout = self._folder / name
        write_layout(str(layout), f"{name}:1", [layer({name: b""})])
        image = (await self.images.load(str(layout)))[0]
        await self.garbage.collect()
        return image.id

    def names(self) -> list[str]:
        return sorted(image.names[0].removeprefix("docker.io/library/") for image in self.store.images())


async def aged(folder: Path, others: int, policy: Policy) -> Node:
    node = Node(folder, policy)
    for name in "abc":
        node.used = {await node.enter(name)}
        await node.garbage.note()
        node.clock.now_s += 1000
    node.disk.others = others
    return node


async def test_images_go_until_the_disk_is_below_the_low_threshold(tmp_path: Path) -> None:
    node = await aged(tmp_path, 56, Policy(85, 80))
    await node.garbage.collect()
    assert node.names() == ["b:1", "c:1"]
    assert node.told == []


async def test_too_little_that_may_go_is_told(tmp_path: Path) -> None:
    node = await aged(tmp_path, 65, Policy(85, 50))
    await node.garbage.collect()
    assert node.names() == ["c:1"]
    assert [event.reason for event in node.told] == ["FreeDiskSpaceFailed"]
    assert "Attempted to free 45 bytes, but only found 20 bytes" in node.told[0].message


async def test_a_node_short_of_disk_keeps_what_is_used_or_came_a_moment_ago(tmp_path: Path) -> None:
    node = await aged(tmp_path, 0, Policy())
    await node.enter("d")
    await node.garbage.note()
    await node.garbage.remove_unused()
    assert node.names() == ["c:1", "d:1"]


async def test_an_image_that_a_container_is_being_made_from_stays(tmp_path: Path) -> None:
    node = await aged(tmp_path, 0, Policy())
    (oldest,) = [image for image in node.store.images() if "a:1" in image.names[0]]
    with node.images.holding(oldest.id), node.images.holding(oldest.id):
        await node.garbage.remove_unused()
    assert node.names() == ["a:1", "c:1"]
    await node.garbage.remove_unused()
    assert node.names() == ["c:1"]
