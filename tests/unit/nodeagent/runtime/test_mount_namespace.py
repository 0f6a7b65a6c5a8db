"""Whose mounts may be covered."""

import pytest

from nodeagent.runtime import mount_namespace, syscalls
from nodeagent.runtime.cgroups import Layout
from nodeagent.runtime.mount_namespace import SharedMountNamespace, prepare_mount_namespace

V1 = (("memory", "/sys/fs/cgroup/memory"),)
HYBRID, PLAIN = Layout(V1, "/sys/fs/cgroup/unified"), Layout(V1)


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of mounts that would have been made; a tmpfs on the v2 tree makes the host plain v1."""
    targets: list[str] = []
    monkeypatch.setattr(syscalls, "mount", lambda source, target, *rest: targets.append(target))
    monkeypatch.setattr(mount_namespace, "detect_here", lambda: PLAIN if HYBRID.unified in targets else HYBRID)
    return targets


def test_in_the_hosts_namespace_nothing_is_covered(mounted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_namespace, "_mounts", lambda pid: {"22", "23"})
    with pytest.raises(SharedMountNamespace, match="a mount namespace of its own"):
        prepare_mount_namespace()
    assert mounted == []


def test_in_its_own_namespace_the_v2_tree_is_covered_once(mounted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_namespace, "_mounts", lambda pid: {pid})
    assert prepare_mount_namespace() == PLAIN
    assert prepare_mount_namespace() == PLAIN
    assert mounted == ["/", HYBRID.unified], "what is mounted stays in the namespace, then the cover"
