"""The agent's unit: its times fit each other, and stopping it ends pods only when the machine goes down."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent import main
from nodeagent.agent import LAST_WORDS_S
from nodeagent.container_state import STOP_WINDOW_MIN_S
from nodeagent.shutdown import ShutdownPeriod
from nodeagent.supervisor import EX_CONFIG

FOLDER = Path(__file__).parents[3] / "deploy" / "systemd"
OF_THE_NODE = ["--node-name", "n", "--server", "s:1", "--node-ip", "127.0.0.1"]
GROUPS = 2
"""Ordinary pods, then critical ones."""
STOP = str(FOLDER / "stop-agent.sh")
ON_POWER = 7
"""Exit code of the process that stands for the agent."""
AGENT = f"""
import signal, sys, time
signal.signal(signal.SIGPWR, lambda *told: (time.sleep(0.5), sys.exit({ON_POWER})))
print("ready", flush=True)
time.sleep(60)
"""
WAIT_S, TO_BE_LEFT_ALONE_S = 20, 0.3


def unit() -> dict[str, str]:
    text = re.sub(r"\\\n\s*", "", (FOLDER / "orch-agent.service").read_text())
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_systemd_waits_longer_than_pods_may_take() -> None:
    command = shlex.split(unit()["ExecStart"])
    at = next(index for index, word in enumerate(command) if word.endswith("/orch-agent"))
    options = main.parse([*command[at + 1 : command.index("$ORCH_AGENT_OPTIONS")], *OF_THE_NODE])
    period = ShutdownPeriod(options.shutdown_grace_period, options.shutdown_grace_period_critical)
    assert 0 < period.critical_s < period.total_s
    longest_s = period.total_s + GROUPS * STOP_WINDOW_MIN_S + LAST_WORDS_S
    assert longest_s < int(unit()["TimeoutStopSec"])


def test_an_agent_that_cannot_start_is_not_started_again_and_again() -> None:
    assert int(unit()["RestartPreventExitStatus"]) == EX_CONFIG


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """For stop-agent.sh, on a machine on which systemctl says this of the job of shutdown.target."""

    def made(job: str) -> dict[str, str]:
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f'#!/bin/sh\n[ "$*" = "show --property=Job --value shutdown.target" ] && echo {job}\n')
        systemctl.chmod(0o755)
        return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    return made


@pytest.fixture
def agent() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, "-c", AGENT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_an_agent_on_a_machine_that_goes_down_is_told_and_waited_for(
    environment: Callable[[str], dict[str, str]], agent: "subprocess.Popen[str]"
) -> None:
    with subprocess.Popen(STOP, env=environment("512") | {"MAINPID": str(agent.pid)}) as stop:
        assert agent.wait(WAIT_S) == ON_POWER
        assert stop.poll() is None, "nobody had reaped the agent before"
        assert stop.wait(WAIT_S) == 0


def test_an_agent_that_is_merely_stopped_is_told_nothing(
    environment: Callable[[str], dict[str, str]], agent: "subprocess.Popen[str]"
) -> None:
    subprocess.run(STOP, env=environment("") | {"MAINPID": str(agent.pid)}, check=True, timeout=WAIT_S)
    with pytest.raises(subprocess.TimeoutExpired):
        agent.wait(TO_BE_LEFT_ALONE_S)


def test_an_agent_that_is_gone_is_not_waited_for(environment: Callable[[str], dict[str, str]]) -> None:
    subprocess.run(STOP, env=environment("512"), check=True, timeout=WAIT_S)
