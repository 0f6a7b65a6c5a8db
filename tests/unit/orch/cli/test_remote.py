"""How a command's end becomes our exit code."""

from typing import Any

import pytest

from orch.cli.remote import exit_code
from orch.errors import ApiError


def failure(*causes: dict[str, str]) -> dict[str, Any]:
    details = {"causes": list(causes)}
    return {"status": "Failure", "reason": "NonZeroExitCode", "message": "it failed", "details": details}


def test_exit_codes() -> None:
    assert exit_code({"status": "Success"}) == 0
    assert exit_code(failure({"reason": "ExitCode", "message": "7"})) == 7


def test_what_is_no_exit_code_is_an_error() -> None:
    with pytest.raises(ApiError, match="it failed"):
        exit_code(failure())
