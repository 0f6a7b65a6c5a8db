"""Folder trees as hostile programs make them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.kit import trees

DEPTH = 3_000
"""Deeper than Python's stack, and longer than a path may be."""
NAME = "n" * 10


def made_deep(root: Path) -> Path:
    """A chain of folders with a file at its end."""
    root.mkdir(parents=True)
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir(NAME, dir_fd=descriptor)
        inner = os.open(NAME, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    return root


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    root = made_deep(tmp_path / "deep")
    yield root
    trees.remove(root)  # what pytest could not


def test_a_tree_of_any_depth_is_removed(deep: Path) -> None:
    trees.remove(deep)
    assert not deep.exists()


def test_a_walk_gives_what_is_inside_first_and_holds_few_descriptors(deep: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    names = [name for _, name, _ in trees.walk(deep) if len(os.listdir("/proc/self/fd")) <= before + 2]
    assert names == ["file", *[NAME] * DEPTH]
    assert len(os.listdir("/proc/self/fd")) == before


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept, root = tmp_path / "kept", tmp_path / "root"
    kept.mkdir()
    (kept / "file").touch()
    (root / "sub").mkdir(parents=True)
    (root / "sub/link").symlink_to(kept)
    (root / "file").touch()
    trees.remove(root)
    assert not root.exists()
    assert (kept / "file").exists()
    (tmp_path / "link").symlink_to(kept)
    with pytest.raises(OSError, match="link"):
        trees.remove(tmp_path / "link")
    trees.remove(tmp_path / "gone")


def test_a_moved_folder_does_not_lead_the_walk_elsewhere(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub/file").touch()
    (outside / "precious").mkdir(parents=True)
    walk = trees.walk(root)
    assert next(walk)[1] == "file"
    (root / "sub").rename(outside / "sub")
    assert [name for _, name, _ in walk] == []


def test_what_stays_is_told_after_the_rest_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "stays", "z"):
        (root / name).touch()
    unlink = os.unlink

    def refuse(name: str, **options: int) -> None:
        if name == "stays":
            raise PermissionError(name)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError, match="stays"):
        trees.remove(root)
    assert os.listdir(root) == ["stays"]
