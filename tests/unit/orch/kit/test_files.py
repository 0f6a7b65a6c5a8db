"""Files are replaced whole and carry the mode that was asked for."""

import os
import stat
from pathlib import Path

import pytest

from orch.kit.files import PUBLIC_MODE, write_atomic


def test_the_mode_is_exact_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        write_atomic(tmp_path / "public", b"x", mode=PUBLIC_MODE)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == PUBLIC_MODE


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(target, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
