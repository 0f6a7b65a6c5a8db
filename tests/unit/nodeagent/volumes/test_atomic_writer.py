import os
from pathlib import Path

import pytest

from nodeagent.volumes.atomic_writer import write_payload
from nodeagent.volumes.payload import File

ONE = (File("a", b"1", 0o644), File("sub/b", b"2", 0o600))
TWO = (File("a", b"changed", 0o644), File("c", b"3", 0o644))


def visible(folder: Path) -> dict[str, bytes]:
    names = [entry for entry in sorted(os.listdir(folder)) if not entry.startswith("..")]
    found = {}
    for name in names:
        path = folder / name
        inner = sorted(path.iterdir()) if path.is_dir() else [path]
        found |= {str(file.relative_to(folder)): file.read_bytes() for file in inner}
    return found


def test_files_have_their_contents_and_modes(tmp_path: Path) -> None:
    assert write_payload(tmp_path, ONE, None)
    assert visible(tmp_path) == {"a": b"1", "sub/b": b"2"}
    assert (tmp_path / "sub/b").stat().st_mode & 0o777 == 0o600


def test_nobody_reads_a_file_before_it_has_its_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[int] = []
    give = os.fchmod

    def seen(descriptor: int, mode: int) -> None:
        before.append(os.fstat(descriptor).st_mode & 0o777)
        give(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", seen)
    write_payload(tmp_path, ONE, None)
    assert before == [0o600, 0o600]


def test_an_unchanged_payload_is_not_touched(tmp_path: Path) -> None:
    write_payload(tmp_path, ONE, None)
    inode = (tmp_path / "a").stat().st_ino
    assert not write_payload(tmp_path, ONE, None)
    assert (tmp_path / "a").stat().st_ino == inode


def test_a_new_payload_replaces_the_old_one_whole(tmp_path: Path) -> None:
    write_payload(tmp_path, ONE, None)
    with (tmp_path / "a").open("rb") as held:
        assert write_payload(tmp_path, TWO, None)
        assert held.read() == b"1"
    assert visible(tmp_path) == {"a": b"changed", "c": b"3"}
    hidden = [name for name in os.listdir(tmp_path) if name.startswith("..")]
    assert sorted(hidden) == sorted(["..data", os.readlink(tmp_path / "..data")])


def test_a_mode_alone_is_a_change(tmp_path: Path) -> None:
    write_payload(tmp_path, (File("a", b"1", 0o644),), None)
    assert write_payload(tmp_path, (File("a", b"1", 0o600),), None)


@pytest.mark.parametrize("crashed_with", ["half a folder", "a link that was not renamed"])
def test_what_a_crash_left_does_not_matter(tmp_path: Path, crashed_with: str) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.mkdir()
    folder.mkdir()
    write_payload(elsewhere, TWO, None)
    target = os.readlink(elsewhere / "..data")
    write_payload(folder, ONE, None)
    (folder / target).mkdir()
    (folder / target / "a").write_bytes(b"half")
    if crashed_with != "half a folder":
        os.symlink(target, folder / "..data_next")
    assert visible(folder) == {"a": b"1", "sub/b": b"2"}
    write_payload(folder, TWO, None)
    assert visible(folder) == {"a": b"changed", "c": b"3"}


def test_an_empty_payload_is_an_empty_folder(tmp_path: Path) -> None:
    write_payload(tmp_path, ONE, None)
    write_payload(tmp_path, (), None)
    assert visible(tmp_path) == {}
