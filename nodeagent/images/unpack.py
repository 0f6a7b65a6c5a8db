"""Unpacks one image layer into a directory as overlayfs wants it. Run as a program, one process per layer.

A process of its own, so that a large layer neither holds the agent's interpreter nor survives a cancelled pull; and
inside a chroot, so that no path, symlink or hard link in the archive can lead out of the directory. It uses the
standard library alone. Whiteouts (image-spec, layer.md) become overlayfs' own: a 0:0 character device and the xattr
trusted.overlay.opaque. Invariant: exit code 0 means that the directory holds the whole layer, is on disk, and that the
uncompressed archive had the digest asked for.

Usage: unpack.py ARCHIVE DIRECTORY DIFF_ID
"""

import contextlib
import ctypes
import grp
import gzip
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, cast

WHITEOUT_PREFIX = ".wh."
OPAQUE_WHITEOUT = ".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"
XATTR_HEADER = "SCHILY.xattr."
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 1 << 20


class BadLayer(Exception):
    """The archive cannot be unpacked; the message says why."""


class HashingReader:
    """Reads through to `source` and keeps the SHA-256 of what came."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._hash = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        while self.read(CHUNK_BYTES):  # what follows the archive's end mark belongs to the digest too
            pass
        return f"sha256:{self._hash.hexdigest()}"


def decompressed(archive: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    magic = archive.read(4)
    archive.seek(0)
    if magic == ZSTD_MAGIC:
        return from_zstd(archive)
    return cast(IO[bytes], gzip.open(archive)) if magic.startswith(GZIP_MAGIC) else contextlib.nullcontext(archive)


@contextlib.contextmanager
def from_zstd(archive: IO[bytes]) -> Iterator[IO[bytes]]:
    """By the program of Debian's package zstd, since Python has none before 3.14. Raises BadLayer."""
    os.lseek(archive.fileno(), 0, os.SEEK_SET)  # what was read of it to look at the magic is in our buffer
    try:
        program = subprocess.Popen(["zstd", "-dcq"], stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise BadLayer("the layer is compressed with zstd: this node needs the package zstd") from None
    with program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            yield program.stdout
        finally:
            program.stdout.close()
            if program.wait() > 0:
                said = program.stderr.read().decode(errors="replace").strip()
                raise BadLayer(f"zstd: {said}")


def extract(archive: tarfile.TarFile) -> None:
    """All members into the current root. Directories get their times last: every entry made in them changes those."""
    archive.extraction_filter = lambda member, _: member  # devices and owners are wanted; the chroot keeps paths inside
    directories = []
    for member in archive:
        member.name = inside(member.name)
        name = os.path.basename(member.name)
        if name.startswith(WHITEOUT_PREFIX):
            make_whiteout(os.path.dirname(member.name), name)
            continue
        if member.islnk():
            member.linkname = inside(member.linkname)
        clear_way(member)
        archive.extract(member, "/", set_attrs=not member.islnk(), numeric_owner=True)
        set_xattrs(member)
        if member.isdir():
            directories.append(member)
    for member in reversed(directories):
        with contextlib.suppress(FileNotFoundError):
            os.utime(member.name, (member.mtime, member.mtime))


def inside(name: str) -> str:
    """An absolute path below the root, whatever `..` the archive holds."""
    return os.path.normpath("/" + name.lstrip("/"))


def make_whiteout(directory: str, name: str) -> None:
    os.makedirs(directory, exist_ok=True)
    if name == OPAQUE_WHITEOUT:
        os.setxattr(directory, OPAQUE_XATTR, b"y")
        return
    hidden = os.path.join(directory, name.removeprefix(WHITEOUT_PREFIX))
    if not os.path.lexists(hidden):
        os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0))


def clear_way(member: tarfile.TarInfo) -> None:
    """The later entry of one name wins; a directory over a directory only changes its attributes."""
    if not os.path.lexists(member.name) or member.name == "/":
        return
    is_directory = os.path.isdir(member.name) and not os.path.islink(member.name)
    if is_directory and not member.isdir():
        shutil.rmtree(member.name)
    elif not is_directory:
        os.unlink(member.name)


def set_xattrs(member: tarfile.TarInfo) -> None:
    """File capabilities above all. trusted.* are overlayfs' own and not for an image to set."""
    for key, value in member.pax_headers.items():
        name = key.removeprefix(XATTR_HEADER)
        if key.startswith(XATTR_HEADER) and not name.startswith("trusted."):
            os.setxattr(member.name, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)


def unpack(archive_path: str, directory: str, diff_id: str) -> None:
    """Raises BadLayer, OSError or tarfile.TarError. The process stays inside `directory` afterwards."""
    os.umask(0o022)
    pwd.getpwuid(0), grp.getgrgid(0)  # NSS loads its modules now: the chroot has none
    with open(archive_path, "rb") as archive, decompressed(archive) as content:
        plain = HashingReader(content)
        os.chroot(directory)
        os.chdir("/")
        with tarfile.open(fileobj=plain, mode="r|", errorlevel=2) as members:  # type: ignore[call-overload]
            extract(members)
        if plain.digest() != diff_id:
            raise BadLayer(f"digest mismatch: unpacked it is {plain.digest()}, the config says {diff_id}")
    root = os.open("/", os.O_RDONLY)
    if ctypes.CDLL(None).syncfs(root) != 0:
        raise BadLayer("syncfs failed")


def main() -> int:
    try:
        unpack(*sys.argv[1:4])
    except (BadLayer, OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
