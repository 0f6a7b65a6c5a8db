"""Where a copy goes, and what an archive may not do."""

import io
import tarfile
from pathlib import Path

import pytest

from orch.cli.cp import Place, extract, parse_place
from orch.cli.failures import CliError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("web:/etc/passwd", Place("/etc/passwd", "web")),
        ("other/web:a", Place("a", "web", "other")),
        ("./a:b", Place("./a:b")),
        ("/a:b", Place("/a:b")),
        ("plain", Place("plain")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["web:", ":a", "a/b/c:d"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(CliError):
        parse_place(text)


def archive(*members: tuple[str, str, bytes]) -> tarfile.TarFile:
    """(name, link, content) each; a link makes a symlink."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, link, content in members:
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE if link else tarfile.REGTYPE
            member.linkname, member.size = link, len(content)
            made.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return tarfile.open(fileobj=buffer, mode="r|")


def test_nothing_is_written_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with archive(
        ("./d/link", "../outside", b""), ("./d/link/evil", "", b"x"), ("./d/../../evil", "", b"x"),
        ("/evil", "", b"x"), ("./d/absolute", "/etc/passwd", b""), ("./d/good", "", b"fine"),
    ) as made:  # fmt: skip
        extract(made, "d", str(tmp_path / "d"))
    assert list(outside.iterdir()) == []
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_symlink()) == []
    assert (tmp_path / "d" / "good").read_bytes() == b"fine"
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path.parent / "evil").exists()
    assert "left out" in capsys.readouterr().err


def test_a_file_takes_the_name_of_the_destination(tmp_path: Path) -> None:
    with archive(("./a", "", b"x")) as made:
        extract(made, "a", str(tmp_path / "b"))
    assert (tmp_path / "b").read_bytes() == b"x"
