"""The supervisor: restarts the agent, holds the DNS port over its death, ends with it when told."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.supervisor import EX_CONFIG, AddressTaken, Inherited, bind_dns

AGENT = """
import signal, subprocess, sys, time
from pathlib import Path
from nodeagent.supervisor import Inherited
starts = Path(sys.argv[1])
starts.write_text(starts.read_text() + "x")
if sys.argv[2] == "refuse":
    sys.exit(78)
if sys.argv[2] == "orphan":
    orphan = subprocess.check_output(["sh", "-c", "sleep 0.1 > /dev/null & echo $!"], text=True).strip()
    time.sleep(0.6)
    sys.exit(1 if Path("/proc", orphan).exists() else 78)
if sys.argv[2] == "die":
    sys.exit(1)
if sys.argv[2] == "crash" and len(starts.read_text()) < 3:
    sys.exit(1)
if sys.argv[2] == "power":
    time.sleep(0.5)
    signal.signal(signal.SIGPWR, lambda *told: (starts.write_text("power"), sys.exit(0)))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPWR})
time.sleep(60)
"""
SUPERVISOR = """
import os, signal, subprocess, sys
from nodeagent import supervisor
from nodeagent.supervisor import Supervisor
script, starts, mode, port = sys.argv[1:]
if mode == "die":
    supervisor.RESTART_DELAY_MIN_S = 60.0
    supervisor.RESTART_DELAY_MAX_S = 60.0
class Popen(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
if mode == "early":
    subprocess.Popen = Popen
command = lambda inherited: [sys.executable, script, starts, mode, inherited.argument()]
sys.exit(Supervisor(command, "127.0.0.1", int(port)).run())
"""
WAIT_S = 10.0


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "starts").write_text("")
    return tmp_path / "starts"


def supervise(starts: Path, mode: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SUPERVISOR, str(starts.parent / "agent.py"), str(starts), mode, str(port)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.fixture
def crashing(starts: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = supervise(starts, "crash", port)
    yield process
    process.terminate()
    process.wait(WAIT_S)


def until_started(starts: Path, times: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while len(starts.read_text()) < times:
        assert time.monotonic() < deadline, f"the agent was started {len(starts.read_text())} of {times} times"
        time.sleep(0.02)


def test_an_agent_that_dies_is_started_again(crashing: subprocess.Popen[bytes], starts: Path) -> None:
    until_started(starts, 3)
    assert crashing.poll() is None


def test_the_port_stays_taken_while_the_agent_is_down(
    crashing: subprocess.Popen[bytes], starts: Path, port: int
) -> None:
    until_started(starts, 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_told_to_stop_it_ends_with_the_agent(starts: Path, port: int) -> None:
    process = supervise(starts, "run", port)
    until_started(starts, 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_a_power_failure_is_passed_on_and_nothing_is_started_again(starts: Path, port: int, after_s: float) -> None:
    """Also to an agent that is still busy starting."""
    process = supervise(starts, "power", port)
    until_started(starts, 1)
    time.sleep(after_s)
    process.send_signal(signal.SIGPWR)
    assert process.wait(WAIT_S) == 0
    assert starts.read_text() == "power"


def test_told_to_stop_while_it_waits_to_restart_it_ends_at_once(starts: Path, port: int) -> None:
    process = supervise(starts, "die", port)
    until_started(starts, 1)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0


def test_told_to_stop_while_the_agent_is_being_started_it_ends_too(starts: Path, port: int) -> None:
    assert supervise(starts, "early", port).wait(WAIT_S) == 0


def test_an_agent_that_cannot_be_started_is_not_started_again(starts: Path, port: int) -> None:
    assert supervise(starts, "refuse", port).wait(WAIT_S) == EX_CONFIG
    assert starts.read_text() == "x"


def test_what_the_agents_children_leave_is_reaped(starts: Path, port: int) -> None:
    assert supervise(starts, "orphan", port).wait(WAIT_S) == EX_CONFIG
    assert starts.read_text() == "x"


def test_an_address_is_bound_before_the_node_has_it() -> None:
    for made in bind_dns("192.0.2.53", 5353):
        made.close()


def test_a_port_that_stays_taken_is_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.supervisor.BIND_RETRY_DELAY_S", 0.001)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(AddressTaken, match=str(port)):
            bind_dns("127.0.0.1", port)


def test_what_is_inherited_travels_as_an_argument() -> None:
    inherited = Inherited(3, 4, os.getpid())
    assert Inherited.parse(inherited.argument()) == inherited
