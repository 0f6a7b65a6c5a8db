"""Which cgroup layout a machine has, from its mounts."""

import subprocess
from pathlib import Path

import pytest

from deploy.local import cgroups
from deploy.local.cgroups import Hierarchies, detect
from deploy.local.spec import ClusterError


def mounts(*lines: tuple[str, str]) -> str:
    return "".join(f"31 23 0:28 / {point} rw,relatime shared:1 - {kind} {kind} rw\n" for point, kind in lines)


V1 = (("/sys/fs/cgroup", "tmpfs"), ("/sys/fs/cgroup/cpu,cpuacct", "cgroup"), ("/sys/fs/cgroup/memory", "cgroup"))
UNIFIED = ("/sys/fs/cgroup/unified", "cgroup2")
ROOTS = (Path("/sys/fs/cgroup/cpu,cpuacct"), Path("/sys/fs/cgroup/memory"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(V1, Hierarchies(False, ROOTS), id="v1"),
        pytest.param((*V1, UNIFIED), Hierarchies(False, ROOTS, Path(UNIFIED[0])), id="hybrid"),
        pytest.param((*V1, UNIFIED, (UNIFIED[0], "tmpfs")), Hierarchies(False, ROOTS), id="hybrid, v2 covered"),
        pytest.param((("/sys/fs/cgroup", "cgroup2"),), Hierarchies(True, (Path("/sys/fs/cgroup"),)), id="v2"),
    ],
)
def test_detect(lines: tuple[tuple[str, str], ...], expected: Hierarchies) -> None:
    assert detect(mounts(*lines)) == expected


def test_a_machine_without_any() -> None:
    with pytest.raises(ClusterError, match="no cgroup hierarchy is mounted"):
        detect(mounts(("/", "ext4")))


def test_v2_limits(tmp_path: Path) -> None:
    """On a folder that stands for a cgroup2 mount."""
    (tmp_path / "orch").mkdir()
    cgroups.limit(Hierarchies(True, (tmp_path,)), "orch", cpus=0.5, memory_bytes=4096)
    assert (tmp_path / "orch/cpu.max").read_text() == "50000 100000"
    assert (tmp_path / "orch/memory.max").read_text() == "4096"


def test_a_group_lives_and_dies() -> None:
    """Needs root: a process is born in the group, is found there, and is gone with it."""
    machine = cgroups.of_this_machine()
    group = "orch-test-cgroups/part"
    cgroups.create(machine, group)
    command = cgroups.inside(machine, group, ["sh", "-c", "echo ready; exec sleep 60"])
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert cgroups.processes(machine, "orch-test-cgroups") == {child.pid}
    finally:
        cgroups.remove(machine, group)
        child.communicate()
    assert child.returncode == -9
    assert not any((root / "orch-test-cgroups").exists() for root in machine.roots)
