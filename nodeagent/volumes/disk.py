"""One volume of this node: an ext4 file system in a file, mounted through a loop device, so that its size holds.

    <volumes>/<name>/disk.img     sparse; grows with what is written
    <volumes>/<name>/data         where it is mounted while a pod uses it

Blocking; each function may be repeated after a crash in its middle. docs/decisions/local-volumes.md says why a file.
"""

import contextlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.runtime import syscalls
from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.removal import remove_tree

PROGRAM_TIMEOUT_S = 120.0
MOUNT_OPTIONS = ("loop", "nodev", "discard")
"""discard: what is deleted inside is given back to the node's disk."""
MAKE = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard")
FOLDER_MODE = 0o700
OPEN_ROOT = "rmdir lost+found\nset_inode_field / mode 040777\n"
"""For debugfs(8): the new file system is as its users find it before it is ever mounted."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Disk:
    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "disk.img"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def size_bytes(self) -> int:
        """0 when it was never made."""
        try:
            return self.image.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def usable_bytes(self) -> int:
        """0 while its growth is not through."""
        return 0 if self._growing.exists() else self.size_bytes

    @property
    def is_mounted(self) -> bool:
        return os.path.ismount(self.data)

    def device(self) -> str:
        """The loop device that holds the file, also for a mount of another mount namespace; empty when none does."""
        if not self.size_bytes:
            return ""
        return _run("losetup", "-n", "-O", "NAME", "-j", str(self.image)).partition("\n")[0].strip()

    def mount(self, size_bytes: int, options: Sequence[str]) -> None:
        """Made, grown and mounted as need be. Raises VolumeFault."""
        self.data.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if self.is_mounted:
            return
        if self.image.exists():
            self.grow(size_bytes)
        else:
            self._make(size_bytes)
        # mount(8) finds the loop device of a file that has one: never two devices on one file.
        _run("mount", "-t", "ext4", "-o", ",".join((*MOUNT_OPTIONS, *options)), str(self.image), str(self.data))

    def grow(self, size_bytes: int) -> bool:
        """Whether the volume has the size now. One that is mounted grows only where the agent has CAP_SYS_RESOURCE."""
        if self.usable_bytes >= size_bytes:
            return True
        if device := self.device():
            return self._grow_mounted(device, size_bytes)
        self._lengthen(size_bytes)
        _run("e2fsck", "-f", "-p", str(self.image), fine=(0, 1))
        _run("resize2fs", str(self.image))
        self._growing.unlink()
        return True

    def unmount(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            syscalls.unmount(str(self.data))

    def remove(self) -> None:
        remove_tree(self.folder)

    @property
    def _growing(self) -> Path:
        return self.folder / "growing"

    def _make(self, size_bytes: int) -> None:
        """It has its name only when it is whole, on the disk too."""
        unfinished = self.image.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.truncate(size_bytes)
        _run(*MAKE, str(unfinished))
        _run("debugfs", "-w", "-f", "-", str(unfinished), stdin=OPEN_ROOT)
        _sync(unfinished)
        unfinished.rename(self.image)
        _sync(self.folder)

    def _lengthen(self, size_bytes: int) -> None:
        """Never shorter: a growth that was cut short may have been to a larger size, and its blocks be in use."""
        self._growing.touch()  # the file may be longer than what is in it, until this is gone
        os.truncate(self.image, max(size_bytes, self.size_bytes))

    def _grow_mounted(self, device: str, size_bytes: int) -> bool:
        self._lengthen(size_bytes)
        try:
            _run("losetup", "-c", device)
            _run("resize2fs", device)
        except VolumeFault:
            return False
        self._growing.unlink()
        return True


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _run(*argv: str, fine: Sequence[int] = (0,), stdin: str = "") -> str:
    """What the program printed. Raises VolumeFault."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, env=ENVIRONMENT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VolumeFault(f"{argv[0]}: {error}") from error
    if done.returncode not in fine:
        said = (done.stderr or done.stdout).strip().replace("\n", "; ")
        raise VolumeFault(f"{' '.join(argv)}: exit code {done.returncode}: {said}")
    return done.stdout
