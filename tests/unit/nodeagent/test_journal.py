"""The journal of objects: what is read back, whatever happened."""

import errno
from pathlib import Path

import msgspec
import pytest

from nodeagent import journal
from nodeagent.journal import Journal, Record


def record(uid: str, value: int) -> Record:
    return Record("Pod", uid, msgspec.Raw(b'{"n":%d}' % value))


def contents(path: Path) -> list[tuple[str, bytes]]:
    return [(r.uid, r.data) for r in Journal(path).load()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "journal"


def test_the_newest_state_of_each_object_is_read(path: Path) -> None:
    first = Journal(path)
    assert first.load() == []
    first.append([record("a", 1), record("b", 1)])
    first.append([record("a", 2), Record("Pod", "b")])
    first.append([record("c", 3)])
    assert contents(path) == [("a", b'{"n":2}'), ("c", b'{"n":3}')]


def test_loading_drops_what_is_no_longer_true_from_the_file(path: Path) -> None:
    first = Journal(path)
    first.load()
    for value in range(100):
        first.append([record("a", value)])
    before = path.stat().st_size
    Journal(path).load()
    assert path.stat().st_size < before / 50


def test_a_line_that_was_cut_off_is_dropped_and_nothing_joins_it(path: Path) -> None:
    first = Journal(path)
    first.load()
    first.append([record("a", 1), record("b", 2)])
    path.write_bytes(path.read_bytes()[:-4])
    second = Journal(path)
    assert [r.uid for r in second.load()] == ["a"]
    second.append([record("c", 3)])
    assert [uid for uid, _ in contents(path)] == ["a", "c"]


def test_a_journal_that_has_grown_says_so_until_it_is_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "GARBAGE_BYTES_MIN", 100)
    grown = Journal(path)
    grown.load()
    for value in range(10):
        grown.append([record("a", value)])
    assert grown.is_bloated
    grown.rewrite([record("a", 9)])
    assert not grown.is_bloated
    assert contents(path) == [("a", b'{"n":9}')]


def test_only_root_reads_it(path: Path) -> None:
    Journal(path).load()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_keeps_nobody_from_reading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Journal(path)
    first.load()
    first.append([record("a", 1)])

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    second = Journal(path)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_atomic", full)
        assert [r.uid for r in second.load()] == ["a"]
        with pytest.raises(OSError, match="descriptor"):
            second.append([record("b", 2)])
    second.rewrite([record("a", 1), record("b", 2)])
    assert [uid for uid, _ in contents(path)] == ["a", "b"]
