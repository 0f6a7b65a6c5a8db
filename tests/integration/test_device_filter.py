"""A device is taken away from a cgroup v2 by a BPF program; on a hybrid host its second tree takes them too."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.runtime import device_filter
from nodeagent.runtime.cgroups import detect_here

NULL, ZERO = (1, 3), (1, 5)
ATTEMPT = """
import os, sys
cgroup, major, minor, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
open(f"{cgroup}/cgroup.procs", "w").write("0")
os.mknod(path, 0o20600, os.makedev(major, minor))
try:
    os.open(path, int(sys.argv[5]))
except OSError as error:
    sys.exit(error.errno)
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    made = Path(detect_here().unified, f"orch-device-filter-{os.getpid()}", "inner")
    made.mkdir(parents=True)
    yield made
    made.rmdir()
    made.parent.rmdir()


def opened(cgroup: Path, device: tuple[int, int], folder: Path, flags: int) -> int:
    """What a process of the cgroup gets that makes a node of the device and opens it: 0 or an error number."""
    arguments = (*map(str, device), str(folder / f"{device[1]}-{len(os.listdir(folder))}"), str(flags))
    return subprocess.run([sys.executable, "-c", ATTEMPT, str(cgroup), *arguments], check=False).returncode


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
def test_one_device_can_be_opened_no_more_but_all_others(cgroup: Path, tmp_path: Path, flags: int) -> None:
    """Also where a program below it, such as the OCI runtime's, does not mind."""
    assert opened(cgroup, NULL, tmp_path, flags) == 0
    device_filter.deny_opening(str(cgroup.parent), *NULL)
    device_filter.deny_opening(str(cgroup), 99, 99)
    assert opened(cgroup, NULL, tmp_path, flags) == errno.EPERM
    assert opened(cgroup, ZERO, tmp_path, flags) == 0


def test_a_cgroup_that_is_gone_is_named(cgroup: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        device_filter.deny_opening(str(cgroup / "gone"), *NULL)
