"""What is taken for a container's last word, and how much of it."""

from datetime import UTC, datetime
from pathlib import Path

from nodeagent.runtime.interface import ContainerState, ContainerStatus
from nodeagent.termination_message import message_file, message_mount, termination_message
from orch.api.pod.container import Container

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def container(policy: str = "File", path: str = "/dev/termination-log") -> Container:
    return Container(name="app", termination_message_path=path, termination_message_policy=policy)


def ended(code: int = 1, state: ContainerState = ContainerState.EXITED) -> ContainerStatus:
    return ContainerStatus("id", "uid", "app", 2, "sha256:1", state, NOW, exit_code=code)


def write_log(folder: Path, *lines: str) -> None:
    text = "".join(f"2026-01-01T00:00:00.000000000+00:00 stderr F {line}\n" for line in lines)
    (folder / "2.log").write_text(text)


def test_each_attempt_gets_an_empty_file_that_every_user_may_write(tmp_path: Path) -> None:
    (mount,) = message_mount(tmp_path / "app", container(path="/tmp/end"), 2)
    path = message_file(tmp_path / "app", 2)
    assert (mount.host_path, mount.container_path, mount.read_only) == (str(path), "/tmp/end", False)
    assert path.read_bytes() == b""
    assert path.stat().st_mode & 0o777 == 0o666
    assert termination_message(tmp_path / "app", container(), ended()) == ""


def test_the_end_of_a_long_file_counts(tmp_path: Path) -> None:
    message_file(tmp_path, 2).write_bytes(b"a" * 5000 + b"end")
    message = termination_message(tmp_path, container(), ended(0))
    assert len(message) == 4096
    assert message.endswith("aend")


def test_the_log_speaks_only_when_asked_to_only_after_a_failure_and_only_for_an_empty_file(tmp_path: Path) -> None:
    write_log(tmp_path, "one", "two")
    asked = container("FallbackToLogsOnError")
    assert termination_message(tmp_path, asked, ended(1)) == "one\ntwo\n"
    assert termination_message(tmp_path, asked, ended(0)) == ""
    assert termination_message(tmp_path, container(), ended(1)) == ""
    message_file(tmp_path, 2).write_text("mine")
    assert termination_message(tmp_path, asked, ended(1)) == "mine"


def test_of_the_log_the_last_80_lines_and_2048_bytes(tmp_path: Path) -> None:
    asked = container("FallbackToLogsOnError")
    write_log(tmp_path, *(str(number) for number in range(200)))
    assert termination_message(tmp_path, asked, ended()).splitlines()[0] == "120"
    write_log(tmp_path, *("x" * 1000 for _ in range(5)))
    assert len(termination_message(tmp_path, asked, ended())) == 2048


def test_a_container_whose_end_nobody_saw_says_nothing(tmp_path: Path) -> None:
    message_file(tmp_path, 2).write_text("old")
    assert termination_message(tmp_path, container(), ended(state=ContainerState.UNKNOWN)) == ""
