"""Container logs: the CRI format, its options, rotation and following."""

import asyncio
import os
from pathlib import Path

import pytest

from nodeagent.folder_watch import WRITTEN, FolderWatch
from nodeagent.log_reader import Entry, LogOptions, NoLog, attempts, parse_entry, read_log


def line(second: int, text: str, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-01-01T12:00:{second:02}.123456789+00:00 {stream} {tag} {text}\n"


def write(folder: Path, name: str, *lines: str) -> None:
    with (folder / name).open("a") as file:
        file.writelines(lines)


async def text(folder: Path, attempt: int = 0, **options: object) -> str:
    chunks = read_log(folder, attempt, LogOptions(**options), follow=False, running=lambda: False)
    return b"".join([chunk async for chunk in chunks]).decode()


def test_entries() -> None:
    assert parse_entry(b"2026-01-01T12:00:00Z stderr F a b\n") == Entry(b"2026-01-01T12:00:00Z", b"stderr", b"a b\n")
    assert parse_entry(b"2026-01-01T12:00:00Z stdout P half\n") == Entry(b"2026-01-01T12:00:00Z", b"stdout", b"half")
    assert parse_entry(b"cut off") is None


def test_attempts_are_found_by_their_files(tmp_path: Path) -> None:
    for name in ("10.log", "9.log", "2.log.20260101", "notes.txt"):
        write(tmp_path, name, "")
    assert attempts(tmp_path) == [2, 9, 10]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "a\nb\nc\n", id="all"),
        pytest.param({"tail_lines": 2}, "b\nc\n", id="tail"),
        pytest.param({"tail_lines": 0}, "", id="tail of nothing"),
        pytest.param({"tail_lines": 9}, "a\nb\nc\n", id="tail of more than there is"),
        pytest.param({"stream": "Stderr"}, "b\n", id="one stream"),
        pytest.param({"stream": "Stdout", "tail_lines": 1}, "c\n", id="tail of one stream"),
        pytest.param({"since_unix_s": 1767268802.0}, "c\n", id="since"),
        pytest.param({"limit_bytes": 3}, "a\nb", id="limit"),
        pytest.param({"timestamps": True, "tail_lines": 1}, "2026-01-01T12:00:02.123456789Z c\n", id="timestamps"),
    ],
)
async def test_options(tmp_path: Path, options: dict[str, object], expected: str) -> None:
    write(tmp_path, "0.log", line(0, "a"), line(1, "b", "stderr"), line(2, "c"))
    assert await text(tmp_path, **options) == expected


async def test_parts_of_a_line_are_one_line(tmp_path: Path) -> None:
    write(tmp_path, "0.log", line(0, "one"), line(1, "ha", tag="P"), line(1, "lf", tag="F"))
    assert await text(tmp_path, tail_lines=1) == "half\n"
    assert (await text(tmp_path, timestamps=True)).count("2026") == 2


async def test_rotated_files_come_before_the_current_one(tmp_path: Path) -> None:
    write(tmp_path, "0.log.20260101-1", line(0, "a"))
    write(tmp_path, "0.log.20260101-2", line(1, "b"))
    write(tmp_path, "0.log", line(2, "c"))
    assert await text(tmp_path) == "a\nb\nc\n"
    assert await text(tmp_path, tail_lines=2) == "b\nc\n"


async def test_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(NoLog):
        await text(tmp_path, 3)


async def test_following_over_a_rotation_loses_and_repeats_nothing(tmp_path: Path) -> None:
    write(tmp_path, "0.log", line(0, "a"))
    running = True
    chunks = read_log(tmp_path, 0, LogOptions(), follow=True, running=lambda: running)
    received = [await anext(chunks)]
    write(tmp_path, "0.log", line(1, "b"))
    received.append(await asyncio.wait_for(anext(chunks), 5))
    write(tmp_path, "0.log", line(2, "c"))
    (tmp_path / "0.log").rename(tmp_path / "0.log.1")
    write(tmp_path, "0.log", line(3, "d"))
    received += [await asyncio.wait_for(anext(chunks), 5) for _ in range(2)]
    running = False
    received += [chunk async for chunk in chunks]
    assert received == [b"a\n", b"b\n", b"c\n", b"d\n"]


async def test_following_ends_with_what_the_container_said_last(tmp_path: Path) -> None:
    write(tmp_path, "0.log", line(0, "a"))
    chunks = read_log(tmp_path, 0, LogOptions(), follow=True, running=lambda: False)
    assert [chunk async for chunk in chunks] == [b"a\n"]


def test_a_folder_that_cannot_be_watched_keeps_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(OSError, match="inotify"):
            FolderWatch(tmp_path / "gone", WRITTEN)
    assert len(os.listdir("/proc/self/fd")) == before
