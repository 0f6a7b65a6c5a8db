import os
from pathlib import Path

from nodeagent.volumes.ownership import give_to_group
from nodeagent.volumes.removal import remove_tree
from orch.kit import trees
from tests.unit.orch.kit.test_trees import made_deep


def test_a_volume_of_any_depth_is_given_to_its_group_and_removed(tmp_path: Path) -> None:
    volume = made_deep(tmp_path / "volume")
    (tmp_path / "outside").mkdir()
    (volume / "link").symlink_to(tmp_path / "outside")
    group = os.getgid() + 1
    give_to_group(volume, group, on_root_mismatch=False, read_only=False)
    assert {info.st_gid for _, name, info in trees.walk(volume) if name != "link"} == {volume.stat().st_gid} == {group}
    assert (tmp_path / "outside").stat().st_gid != group
    remove_tree(volume)
    assert not volume.exists()
    remove_tree(volume)
