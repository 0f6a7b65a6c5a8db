"""The parts of a control plane, as data."""

from pathlib import Path

import pytest

from deploy.local import control_plane
from deploy.local import spec as specs
from deploy.local.spec import ClusterSpec


def test_asking_for_the_parts_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "STATE_ROOT", tmp_path)
    spec = ClusterSpec(name="local", node_count=1, subnet="172.30.4.0/24", cpus=0.5, memory_bytes=2**30)
    parts = {part.name: part for part in control_plane.parts(spec)}
    assert list(tmp_path.iterdir()) == []
    for name, read_only in (("registry", "true"), ("registry-push", "false")):
        [(path, text)] = parts[name].files.items()
        assert str(path) in parts[name].command
        assert f"readonly: {{enabled: {read_only}}}" in text
