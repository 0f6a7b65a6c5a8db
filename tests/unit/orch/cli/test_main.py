"""The way in: verbs, flags before them, and failures without tracebacks."""

import subprocess
import sys

import pytest

from orch.cli.failures import Exit
from orch.cli.main import VERBS, main, split_verb
from tests.unit.orch.cli.fake_api import Cli

HEAVY = ("grpc", "aiohttp", "numpy", "msgspec", "yaml", "asyncio", "cryptography", "dataclasses", "http.client")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["get", "pods"], ([], "get", ["pods"])),
        (["-n", "get", "get", "pods"], (["-n", "get"], "get", ["pods"])),
        (["--kubeconfig", "f", "get"], (["--kubeconfig", "f"], "get", [])),
        (["--namespace=x", "get"], (["--namespace=x"], "get", [])),
        (["--help"], (["--help"], "", [])),
    ],
)
def test_split_verb(arguments: list[str], expected: tuple[list[str], str, list[str]]) -> None:
    assert split_verb(arguments) == expected


@pytest.mark.parametrize("arguments", [["frobnicate"], []], ids=["unknown", "none"])
def test_a_wrong_verb_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == Exit.USAGE
    assert "orch --help" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out


def test_no_answer_is_one_line_and_a_code_of_its_own(cli: Cli, tmp_path: object) -> None:
    cli.api.put("/apis", {})
    config = f"{tmp_path}/kubeconfig"
    with open(config) as file:
        text = file.read().replace(cli.api.url, "http://127.0.0.1:9")
    with open(config, "w") as file:
        file.write(text)
    outcome = cli.run("get", "pods")
    assert outcome.code == Exit.UNREACHABLE
    assert outcome.err.count("\n") == 1
    assert "http://127.0.0.1:9: no answer: Connection refused" in outcome.err


def test_get_imports_nothing_heavy() -> None:
    """What it costs to start decides whether `orch get pods` answers within 150 ms."""
    code = f"import sys, orch.cli.main, orch.cli.get; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
