"""The installer cleans up after itself, however it ends. Its commands are replaced: nothing is installed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[3] / "deploy" / "install.sh"
WAIT_S = 20


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No package is there, and installing them takes for ever."""
    commands = {"dpkg-query": "exit 1", "apt-get": "exec sleep 60", "id": "echo 0"}
    for name, script in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "POLICY_RC_D": str(tmp_path / "policy"), "TMPDIR": str(tmp_path)}


def start(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Until it is in the middle of installing."""
    process = subprocess.Popen(["dash", str(INSTALL)], env=environment, start_new_session=True)
    deadline = time.monotonic() + WAIT_S
    while subprocess.run(["pgrep", "-P", str(process.pid), "sleep"], stdout=subprocess.DEVNULL).returncode != 0:
        assert time.monotonic() < deadline, "it does not come to apt-get"
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_it_and_leaves_nothing(environment: dict[str, str], number: signal.Signals) -> None:
    policy = Path(environment["POLICY_RC_D"])
    process = start(environment)
    assert policy.exists()
    os.killpg(process.pid, number)
    assert process.wait(WAIT_S) == 128 + number
    assert not policy.exists()
    assert list(policy.parent.glob("tmp.*")) == []


def test_what_a_killed_run_left_is_removed_by_the_next(environment: dict[str, str]) -> None:
    policy = Path(environment["POLICY_RC_D"])
    process = start(environment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(WAIT_S)
    assert policy.exists()
    process = start(environment)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(WAIT_S)
    assert not policy.exists()


def test_the_machine_s_own_policy_is_left_alone(environment: dict[str, str]) -> None:
    policy = Path(environment["POLICY_RC_D"])
    policy.write_text("#!/bin/sh\nexit 101\n")
    process = start(environment)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(WAIT_S)
    assert policy.read_text() == "#!/bin/sh\nexit 101\n"
