"""The count by which tests kill an agent before a certain step."""

import os

import pytest

from tests.agent_lab import NO_CRASH, Steps


def test_an_agent_is_killed_before_the_step_and_never_after_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    steps = Steps()
    monkeypatch.setattr(os, "kill", lambda pid, signal: killed.append(pid))
    steps.step()
    steps.crash_in(2)
    steps.step()
    steps.step()
    assert (steps.taken, killed) == (2, [])
    steps.step()
    assert killed == [os.getpid()]
    steps.crash_in(NO_CRASH)
    steps.step()
    assert len(killed) == 1


def test_a_reset_in_the_middle_of_a_step_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    steps = Steps()
    steps.crash_in(1)
    write = Steps._write

    def reset_first(self: Steps, at: int, number: int) -> None:
        monkeypatch.undo()
        steps.crash_in(NO_CRASH)
        write(self, at, number)

    monkeypatch.setattr(Steps, "_write", reset_first)
    steps.step()
    monkeypatch.setattr(os, "kill", lambda pid, signal: killed.append(pid))
    for _ in range(3):
        steps.step()
    assert killed == []
