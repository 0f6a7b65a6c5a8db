"""What is removed of pods that are not wanted any more."""

from pathlib import Path

from nodeagent.orphans import remove_orphans
from tests.unit.nodeagent.test_pod_worker import Machine


async def test_logs_that_are_all_that_is_left_of_a_pod_go(tmp_path: Path) -> None:
    parts = Machine(tmp_path).parts
    await remove_orphans(parts, ())  # there is no folder of logs yet
    for name in ("default_old_u-1", "default_web_u-2"):
        (parts.pod_logs / name / "app").mkdir(parents=True)
        (parts.pod_logs / name / "app" / "0.log").write_text("x")
    await remove_orphans(parts, ("u-2",))
    assert [folder.name for folder in parts.pod_logs.iterdir()] == ["default_web_u-2"]
