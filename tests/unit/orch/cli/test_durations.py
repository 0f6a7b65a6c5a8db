"""Durations in, ages out."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from orch.cli.durations import age, seconds

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("5m", 300), ("1h30m", 5400), ("2", 2), ("100ms", 0.1)])
def test_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5x", "m", "1h 30m", "-3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (timedelta(seconds=119), "119s"), (timedelta(minutes=3, seconds=10), "3m10s"), (timedelta(minutes=5), "5m"),
        (timedelta(minutes=42), "42m"), (timedelta(hours=3, minutes=5), "3h5m"), (timedelta(hours=20), "20h"),
        (timedelta(days=2, hours=3), "2d3h"), (timedelta(days=100), "100d"), (timedelta(days=800), "2y70d"),
        (timedelta(seconds=-5), "0s"),
    ],
)  # fmt: skip
def test_age(past: timedelta, expected: str) -> None:
    assert age((NOW - past).strftime("%Y-%m-%dT%H:%M:%SZ"), NOW) == expected


def test_age_of_what_has_no_time() -> None:
    assert age(None, NOW) == "<unknown>"
