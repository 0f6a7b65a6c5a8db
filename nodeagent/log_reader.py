"""Reading container logs: CRI format, over rotation, with the options of core/v1 PodLogOptions.

A log is `<attempt>.log`, rotated away to `<attempt>.log.<something that sorts by age>`; a reader goes from the oldest
rotated file to the current one. A line is `<RFC 3339 time> <stdout|stderr> <F|P> <text>`; P lines are parts of
one line. Following waits for the file to change by inotify, never by polling.
"""

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nodeagent.folder_watch import WRITTEN, FolderWatch
from orch.errors import OrchError

CHUNK_BYTES = 64 * 1024


class NoLog(OrchError):
    """There is no log of that container, or of that attempt of it."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_unix_s: float | None = None
    stream: str = "All"
    """All, Stdout or Stderr."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log file; `text` has its newline unless the line goes on in the next entry."""

    time: bytes
    stream: bytes
    text: bytes


def parse_entry(line: bytes) -> Entry | None:
    """None for what is no CRI log line (a file cut off in the middle of a write)."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    time, stream, tag, text = parts
    return Entry(time, stream, text if tag == b"P" else text + b"\n")


def log_files(folder: Path, attempt: int) -> list[Path]:
    """The files of one attempt, oldest first."""
    rotated = sorted(folder.glob(f"{attempt}.log.*"))
    current = folder / f"{attempt}.log"
    return [*rotated, *([current] if current.exists() else [])]


def attempts(folder: Path) -> list[int]:
    """The attempts that have a log, oldest first."""
    numbers = {path.name.partition(".log")[0] for path in folder.glob("*.log*")}
    return sorted(int(number) for number in numbers if number.isdecimal())


class _Selection:
    """Which entries are shown, and how much of them."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._begins_line = True

    @property
    def is_full(self) -> bool:
        return self._left is not None and self._left <= 0

    def wants(self, entry: Entry) -> bool:
        options = self._options
        if options.stream != "All" and entry.stream != options.stream.lower().encode():
            return False
        return options.since_unix_s is None or _unix_s(entry.time) >= options.since_unix_s

    def show(self, entry: Entry) -> bytes:
        text = entry.text
        if self._options.timestamps and self._begins_line:
            text = entry.time.replace(b"+00:00", b"Z") + b" " + text  # as a kubelet writes UTC
        self._begins_line = entry.text.endswith(b"\n")
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text


def _unix_s(time: bytes) -> float:
    """Nanoseconds are cut to the microseconds that datetime holds."""
    text = time.decode()
    head, dot, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return datetime.fromisoformat(f"{head}{dot}{tail[: min(digits, 6)]}{tail[digits:]}").timestamp()


async def read_log(
    folder: Path, attempt: int, options: LogOptions, *, follow: bool, running: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The log's text. With `follow` it goes on until the container does not run and all is read. Raises NoLog."""
    files = log_files(folder, attempt)
    if not files:
        raise NoLog(f"there is no log in {folder} for attempt {attempt}")
    selection = _Selection(options)
    reader = _Reader(files)
    try:
        for entry in _tail(reader.entries(), selection, options.tail_lines):
            yield selection.show(entry)
            if selection.is_full:
                return
        if follow:
            async for entry in _follow(folder, reader, running):
                if selection.wants(entry):
                    yield selection.show(entry)
                    if selection.is_full:
                        return
    finally:
        reader.close()


def _tail(entries: Iterator[Entry], selection: _Selection, lines: int | None) -> Iterator[Entry]:
    """The last `lines` whole lines of what is wanted; None: all."""
    wanted = (entry for entry in entries if selection.wants(entry))
    if lines is None:
        return wanted
    kept: deque[list[Entry]] = deque(maxlen=lines)
    line: list[Entry] = []
    for entry in wanted:
        line.append(entry)
        if entry.text.endswith(b"\n"):
            kept.append(line)
            line = []
    if line:
        kept.append(line)
    return iter([entry for parts in kept for entry in parts])


class _Reader:
    """Reads whole lines from a list of files, and from what the last one becomes when it grows or is rotated."""

    def __init__(self, files: list[Path]) -> None:
        self._waiting = deque(files)
        self._path = self._waiting.popleft()
        self._file = self._path.open("rb")
        self._rest = b""

    def entries(self) -> Iterator[Entry]:
        """Everything that is there now."""
        while True:
            while data := self._file.read(CHUNK_BYTES):
                yield from self._parse(data)
            if not self._next_file():
                return

    def _parse(self, data: bytes) -> Iterator[Entry]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            entry = parse_entry(line)
            if entry is not None:
                yield entry

    def _next_file(self) -> bool:
        if self._waiting:
            self._path = self._waiting.popleft()
        elif self._is_rotated():
            self._path = self._path.with_name(self._path.name.partition(".log")[0] + ".log")
        else:
            return False
        self._file.close()
        self._file, self._rest = self._path.open("rb"), b""
        return True

    def _is_rotated(self) -> bool:
        """Whether the current log is another file than the one that is open."""
        current = self._path.with_name(self._path.name.partition(".log")[0] + ".log")
        try:
            return os.stat(current).st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def close(self) -> None:
        self._file.close()


async def _follow(folder: Path, reader: _Reader, running: Callable[[], bool]) -> AsyncIterator[Entry]:
    """Subscribes before it reads, so that no write falls between; ends after a read that began when nothing ran."""
    with FolderWatch(folder, WRITTEN) as changes:
        while True:
            still = running()
            for entry in reader.entries():
                yield entry
            if not still:
                return
            await changes.wait(CHECK_RUNNING_S)


CHECK_RUNNING_S = 1.0
"""How soon a follower notices that a container ended without another word."""
