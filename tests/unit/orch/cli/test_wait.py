"""Waiting for conditions, for creation, for the end."""

from typing import Any

import pytest

from orch.cli.failures import CliError, Exit
from orch.cli.wait import has_condition, parse_goal
from tests.unit.orch.cli.fake_api import Cli

POD = "/api/v1/namespaces/default/pods/a"


def pod(status: str, generation: int = 1, observed: int = 1) -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "observedGeneration": observed}
    return {"metadata": {"name": "a", "generation": generation}, "status": {"conditions": [condition]}}


def test_conditions_count_only_for_the_present_generation() -> None:
    assert has_condition(pod("True"), "ready", "true")
    assert not has_condition(pod("False"), "Ready", "True")
    assert has_condition(pod("False"), "Ready", "False")
    assert not has_condition(pod("True", generation=2, observed=1), "Ready", "True")


@pytest.mark.parametrize("text", ["ready", "condition=", "jsonpath=x", ""])
def test_goals_that_mean_nothing(text: str) -> None:
    with pytest.raises(CliError, match="must be condition=NAME"):
        parse_goal(text)


def test_until_a_condition_holds(cli: Cli) -> None:
    answers = [pod("False"), pod("True")]
    cli.api.routes["GET", POD] = lambda asked: (200, answers.pop(0))
    assert cli.run("wait", "pod/a", "--for", "condition=Ready").out == "pod/a condition met\n"


def test_what_does_not_come(cli: Cli) -> None:
    cli.api.put(POD, pod("False"))
    assert cli.run("wait", "pod/a", "--for", "condition=Ready", "--timeout", "50ms").code == Exit.TIMEOUT
    assert cli.run("wait", "pod/b", "--for", "condition=Ready").code == Exit.NOT_FOUND
    assert cli.run("wait", "pod/b", "--for", "delete").out == "pod/b deleted\n"
    assert cli.run("wait", "pod/a", "--for", "create").out == "pod/a created\n"
