import pytest

from orch.api.cron import schedule_problem


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/15 0-6 1,15 jan-MAR mon-fri",
        "5/10 10-22/4 ? * 0",
        "@hourly",
        "@every 1h30m",
        "  0   0 * *  6 ",
    ],
)
def test_schedules(schedule: str) -> None:
    assert schedule_problem(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        (" ", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/x * * * *", "failed to parse int from x: not a number"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*-5 * * * *", "too many hyphens: *-5"),
        ("mon * * * *", "failed to parse int from mon: not a number"),
        ("-1 * * * *", "failed to parse int from : not a number"),
        ("1, * * * *", "failed to parse int from : not a number"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every soon", "failed to parse duration @every soon"),
    ],
)
def test_no_schedules(schedule: str, problem: str) -> None:
    assert schedule_problem(schedule) == problem
