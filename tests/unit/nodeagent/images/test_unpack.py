"""Layers as overlayfs wants them. As root: owners, devices and trusted xattrs are real."""

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nodeagent.images import unpack
from tests.images import digest, layer


def run(archive: bytes, folder: Path, diff_id: str) -> "subprocess.CompletedProcess[str]":
    source = folder.parent / "layer"
    source.write_bytes(archive)
    folder.mkdir(exist_ok=True)
    argv = [sys.executable, "-I", "-S", unpack.__file__, str(source), str(folder), diff_id]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def unpacked(archive: bytes, folder: Path) -> Path:
    done = run(gzip.compress(archive), folder, digest(archive))
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_files_keep_owner_mode_time_and_links(tmp_path: Path) -> None:
    archive = tar_of(
        (member("d", type=tarfile.DIRTYPE, mode=0o1777, mtime=100), b""),
        (member("d/f", mode=0o4755, uid=1000, gid=1001, mtime=200), b"content"),
        (member("d/hard", type=tarfile.LNKTYPE, linkname="d/f"), b""),
        (member("d/soft", type=tarfile.SYMTYPE, linkname="f"), b""),
    )
    root = unpacked(archive, tmp_path / "out")
    info = (root / "d/f").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime) == (0o4755, 1000, 1001, 200)
    assert (root / "d/hard").stat().st_ino == info.st_ino
    assert os.readlink(root / "d/soft") == "f"
    assert (stat.S_IMODE((root / "d").stat().st_mode), (root / "d").stat().st_mtime) == (0o1777, 100)


def test_whiteouts_become_overlayfs_own(tmp_path: Path) -> None:
    archive = layer({"a/.wh.gone": b"", "b": None, "b/.wh..wh..opq": b"", "b/new": b"1"})
    root = unpacked(archive, tmp_path / "out")
    gone = (root / "a/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(root / "b", "trusted.overlay.opaque") == b"y"
    assert sorted(os.listdir(root / "b")) == ["new"]


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tar_of(
        (member("link", type=tarfile.SYMTYPE, linkname=str(outside)), b""),
        (member("up", type=tarfile.SYMTYPE, linkname="../../../../../../../../tmp"), b""),
        (member("link/file"), b"1"),
        (member("../../outside/dots"), b"2"),
        (member(f"{outside}/absolute"), b"3"),
    )
    run(archive, tmp_path / "out", digest(archive))
    assert os.listdir(outside) == []


def test_file_capabilities_are_kept_and_trusted_attributes_are_not(tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    headers = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }
    root = unpacked(tar_of((member("ping", pax_headers=headers), b"x")), tmp_path / "out")
    assert os.getxattr(root / "ping", "security.capability") == capability
    assert os.listxattr(root / "ping") == ["security.capability"]


def test_the_later_entry_of_a_name_wins(tmp_path: Path) -> None:
    archive = tar_of(
        (member("x", type=tarfile.DIRTYPE, mode=0o755), b""),
        (member("x/y"), b"1"),
        (member("x", mode=0o644), b"file"),
        (member("z"), b"1"),
        (member("z"), b"2"),
    )
    root = unpacked(archive, tmp_path / "out")
    assert ((root / "x").read_bytes(), (root / "z").read_bytes()) == (b"file", b"2")


def test_a_layer_compressed_with_zstd(tmp_path: Path) -> None:
    plain = layer({"a": b"1" * 100_000})
    packed = subprocess.run(["zstd", "-qc"], input=plain, capture_output=True, check=True).stdout
    done = run(packed, tmp_path / "out", digest(plain))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "a").stat().st_size == 100_000


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (layer({"a": b"1"}), "digest mismatch"),
        (b"\x28\xb5\x2f\xfd rest", "zstd"),
        (gzip.compress(layer({"a": b"1" * 9999}))[:-40], "end-of-stream"),
        (b"x" * 2000, ""),
    ],
    ids=["other content", "zstd", "cut off", "no archive"],
)
def test_a_bad_layer_is_refused_with_its_reason(tmp_path: Path, archive: bytes, reason: str) -> None:
    done = run(archive, tmp_path / "out", "sha256:" + "0" * 64)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
