"""Logs: which containers of which pods, and what is asked for."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orch.cli.failures import Exit
from tests.unit.orch.cli.fake_api import Cli

PODS = "/api/v1/namespaces/default/pods"
WEB = "/apis/apps/v1/namespaces/default/deployments/web"


def pod(name: str, *containers: str, ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": container} for container in containers], "initContainers": [{"name": "init"}]},
        "status": {"phase": "Running", "conditions": conditions},
    }


@pytest.fixture(autouse=True)
def pods(cli: Cli) -> None:
    cli.api.put(f"{PODS}/a", pod("a", "main", "side"))
    cli.api.put(PODS, {"items": [pod("b", "main", ready=False), pod("a", "main", "side")]})
    cli.api.put(f"{PODS}/a/log", ["one\n", "two\n"])
    cli.api.put(f"{PODS}/b/log", ["three\n"])


def test_options_reach_the_server(cli: Cli) -> None:
    outcome = cli.run("logs", "a", "-p", "--tail", "5", "--since", "2m", "--timestamps", "-c", "side")
    assert outcome.out == "one\ntwo\n"
    expected = {"container": "side", "previous": "true", "tailLines": "5", "sinceSeconds": "120", "timestamps": "true"}
    assert cli.api.asked[-1].query == expected


def test_all_containers_and_pods_are_told_apart(cli: Cli) -> None:
    outcome = cli.run("logs", "a", "--all-containers", "--prefix")
    assert [line.split()[0] for line in outcome.out.splitlines()[::2]] == [
        "[pod/a/init]",
        "[pod/a/main]",
        "[pod/a/side]",
    ]
    assert cli.run("logs", "-l", "app=web").out.splitlines()[0] == "[pod/b/main] three"


def test_a_workload_stands_for_its_readiest_pod(cli: Cli) -> None:
    cli.api.put(WEB, {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}})
    assert cli.run("logs", "deploy/web").out == "one\ntwo\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a", "-c", "x"], Exit.NOT_FOUND, "pod/a: has no container 'x': it has main, side, init"),
        ([], Exit.USAGE, "name a pod or TYPE/NAME"),
        (["nope"], Exit.NOT_FOUND, "not found"),
    ],
)
def test_faults(cli: Cli, words: list[str], code: int, message: str) -> None:
    outcome = cli.run("logs", *words)
    assert outcome.code == code
    assert message in outcome.err


def test_followed_logs_that_fail_are_named(cli: Cli) -> None:
    cli.api.routes.pop(("GET", f"{PODS}/b/log"))
    outcome = cli.run("logs", "-f", "-l", "app=web", "--all-containers")
    assert outcome.code == Exit.ERROR
    assert outcome.out.splitlines().count("[pod/a/main] one") == 1
    assert f"orch: {PODS}/b/log: {PODS}/b/log not found" in outcome.err.splitlines()


def test_following_ends_with_its_reader(cli: Cli, tmp_path: Path) -> None:
    """As in `orch logs -f -l app=web | head -n 1`: no traceback, though the server would send on."""
    cli.api.put(f"{PODS}/a/log", ["line\n"] * 100_000)
    command = [sys.executable, "-m", "orch.cli.main", "logs", "-f", "-l", "app=web", "--all-containers"]
    environment = os.environ | {"KUBECONFIG": str(tmp_path / "kubeconfig")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == Exit.OK
        assert process.stderr is not None
        assert process.stderr.read() == ""
