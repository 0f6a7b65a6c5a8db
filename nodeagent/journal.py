"""Objects by kind and uid in one append-only file: a change costs one write, and no file is made or removed for it.

A file per object would cost a burst of pods as much as the runtime does (making and removing files is what disks are
slow at). Appends are not forced to the disk: what a loss of power takes comes again from the control plane. A line that
cannot be read (the last, after a crash in the middle of a write) is dropped.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import structlog

from orch.kit.files import PRIVATE_MODE, write_atomic

log = structlog.get_logger(__name__)

GARBAGE_BYTES_MIN = 4 * 1024 * 1024
"""A journal is written anew when it has grown by so much, and to more than twice of what it began with."""


class Record(msgspec.Struct, frozen=True):
    """The newest state of one object; `object` is null when it is gone."""

    kind: str
    uid: str
    object: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def data(self) -> bytes:
        """The object's JSON; empty when it is gone."""
        raw = bytes(self.object)
        return b"" if raw == b"null" else raw


class Journal:
    """Raises OSError when the disk fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._begun_bytes = self._appended_bytes = 0

    def load(self) -> list[Record]:
        """What exists, oldest first; the file is then as small as can be. A full disk keeps nobody from reading,
        but from appending until the file was rewritten."""
        newest: dict[tuple[str, str], Record] = {}
        for record in self._read():
            newest.pop((record.kind, record.uid), None)
            if record.data:
                newest[record.kind, record.uid] = record
        try:
            self.rewrite(newest.values())
        except OSError as error:
            log.error("journal_not_rewritten", path=str(self._path), error=str(error), next="with the next change")
        return list(newest.values())

    @property
    def is_bloated(self) -> bool:
        return self._appended_bytes > max(GARBAGE_BYTES_MIN, self._begun_bytes)

    def append(self, records: Iterable[Record]) -> None:
        lines = b"".join(_line(record) for record in records)
        self._appended_bytes += len(lines)
        while lines:
            lines = lines[os.write(self._descriptor, lines) :]

    def rewrite(self, records: Iterable[Record]) -> None:
        """These are all there are; a crash leaves the old file or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = b"".join(_line(record) for record in records)
        write_atomic(self._path, content, mode=PRIVATE_MODE)
        self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._begun_bytes, self._appended_bytes = len(content), 0

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> Iterator[Record]:
        if not self._path.exists():
            return
        decoder = msgspec.json.Decoder(Record)
        for number, line in enumerate(self._path.read_bytes().splitlines(), start=1):
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                log.warning("journal_line_dropped", path=str(self._path), line=number, error=str(error))


def _line(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"
