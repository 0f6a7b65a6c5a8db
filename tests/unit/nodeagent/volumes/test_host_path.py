"""The types of hostPath volumes."""

import os
import socket
from pathlib import Path

import pytest

from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.host_path import check_host_path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    return {"char": "/dev/null"} | {name: str(tmp_path / name) for name in ("folder", "file", "socket", "none")}


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("Directory", "folder"), ("DirectoryOrCreate", "folder"), ("File", "file"), ("FileOrCreate", "file"),
        ("Socket", "socket"), ("CharDevice", "char"), ("", "folder"), ("", "socket"),
    ],
)  # fmt: skip
def test_what_is_there_as_said_is_fine(places: dict[str, str], kind: str, place: str) -> None:
    check_host_path(places[place], kind)


@pytest.mark.parametrize(
    ("kind", "place", "text"),
    [
        ("Directory", "file", "is not a directory"),
        ("DirectoryOrCreate", "file", "is not a directory"),
        ("File", "folder", "is not a file"),
        ("FileOrCreate", "folder", "is not a file"),
        ("Socket", "file", "is not a socket file"),
        ("CharDevice", "file", "is not a character device"),
        ("BlockDevice", "char", "is not a block device"),
        ("Directory", "none", "No such file or directory"),
        ("File", "none", "No such file or directory"),
    ],
)
def test_what_is_not_as_said_is_refused(places: dict[str, str], kind: str, place: str, text: str) -> None:
    with pytest.raises(VolumeFault, match=f"hostPath type check failed: {places[place]}.*{text}"):
        check_host_path(places[place], kind)


@pytest.mark.parametrize(("kind", "mode"), [("DirectoryOrCreate", 0o40755), ("FileOrCreate", 0o100644)])
def test_what_may_be_made_is_made(places: dict[str, str], kind: str, mode: int) -> None:
    check_host_path(places["none"], kind)
    assert os.stat(places["none"]).st_mode == mode
