"""Log rotation: long logs are renamed, the oldest go, and a log that cannot be reopened keeps its name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent import log_rotation
from nodeagent.log_rotation import LogRotation
from nodeagent.runtime.interface import ContainerState, RuntimeFault


class World:
    """A runtime with one container that writes on whenever its log is reopened, and a clock."""

    def __init__(self, path: Path) -> None:
        self.path, self.fault, self.moment = path, False, datetime(2026, 1, 1, tzinfo=UTC)
        path.write_text("long enough")

    def now(self) -> datetime:
        self.moment += timedelta(seconds=10)
        return self.moment

    async def list_containers(self) -> list[Any]:
        return [SimpleNamespace(id="c", state=ContainerState.RUNNING, log_path=str(self.path))]

    async def reopen_container_log(self, container_id: str) -> None:
        if self.fault:
            raise RuntimeFault("its monitor has ended")
        self.path.write_text("long enough")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(log_rotation, "LOG_BYTES_MAX", 10)
    return World(tmp_path / "0.log")


def rotation(world: Any) -> LogRotation:
    return LogRotation(world, world)


async def test_the_newest_files_stay(world: World) -> None:
    for _ in range(7):
        await rotation(world).rotate()
    names = sorted(path.name for path in world.path.parent.iterdir())
    assert names == [
        "0.log",
        *(f"0.log.20260101-0000{second}" for second in (40, 50)),
        "0.log.20260101-000100",
        "0.log.20260101-000110",
    ]


async def test_a_clock_that_is_set_back_changes_no_order(world: World) -> None:
    for text in ("first file", "second file", "third file"):
        world.path.write_text(text)
        await rotation(world).rotate()
        world.moment -= timedelta(days=400)
    rotated = sorted(path for path in world.path.parent.iterdir() if path != world.path)
    assert [path.read_text() for path in rotated] == ["first file", "second file", "third file"]


async def test_a_short_log_stays(world: World) -> None:
    world.path.write_text("short")
    await rotation(world).rotate()
    assert [path.name for path in world.path.parent.iterdir()] == ["0.log"]


async def test_a_log_that_cannot_be_reopened_keeps_its_name(world: World) -> None:
    world.fault = True
    await rotation(world).rotate()
    assert [path.name for path in world.path.parent.iterdir()] == ["0.log"]
