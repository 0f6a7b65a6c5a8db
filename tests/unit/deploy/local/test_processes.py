"""Background processes are found again, and never mistaken for others."""

import os
import signal
from pathlib import Path

import pytest

from deploy.local import processes
from deploy.local.processes import Process
from deploy.local.spec import ClusterError

SCRIPT = "trap 'exit 0' TERM; echo started; while :; do sleep 0.02; done"


def spawn(tmp_path: Path, script: str = SCRIPT) -> Process:
    process = processes.spawn(["sh", "-c", script], tmp_path / "log")
    assert processes.wait_for(lambda: "started" in (tmp_path / "log").read_text(), 5)
    return process


def test_a_pidfile_leads_to_the_living_process_only(tmp_path: Path) -> None:
    process = spawn(tmp_path)
    processes.write(tmp_path / "pid", process)
    assert processes.read(tmp_path / "pid") == process
    assert os.getsid(process.pid) == process.pid, "a session of its own: Ctrl-C here must not reach it"
    processes.stop(process, grace_s=5)
    assert processes.read(tmp_path / "pid") is None


def test_a_pid_that_somebody_else_has_now_is_not_ours(tmp_path: Path) -> None:
    ourselves = processes.find(os.getpid())
    assert ourselves is not None
    stranger = Process(ourselves.pid, ourselves.started - 1)
    processes.write(tmp_path / "pid", stranger)
    assert processes.read(tmp_path / "pid") is None
    stranger.signal(signal.SIGKILL)  # would end this test run


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = spawn(tmp_path, "trap '' TERM; echo started; while :; do sleep 0.02; done")
    processes.stop(process, grace_s=0.1)
    assert not process.alive


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("first\nthe reason\n\n")
    assert processes.last_line(tmp_path / "log") == "the reason"
    assert processes.last_line(tmp_path / "none") == "it said nothing"


def test_a_missing_executable(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-program is not installed: 'make up'"):
        processes.spawn(["no-such-program"], tmp_path / "log")


@pytest.mark.parametrize("content", ["", "{}", "nonsense", '{"pid": "x"}'])
def test_a_pidfile_that_is_no_good(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert processes.read(tmp_path / "pid") is None
