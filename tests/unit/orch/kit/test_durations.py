import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.kit.durations import human, seconds

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (10 * MINUTE + 5, "10m"),
        (179 * MINUTE, "179m"), (3 * HOUR, "3h"), (3 * HOUR + 5 * MINUTE, "3h5m"), (8 * HOUR + 5 * MINUTE, "8h"),
        (47 * HOUR, "47h"), (48 * HOUR, "2d"), (2 * DAY + 3 * HOUR, "2d3h"), (8 * DAY + 3 * HOUR, "8d"),
        (2 * YEAR, "2y"), (2 * YEAR + 3 * DAY, "2y3d"), (9 * YEAR + 3 * DAY, "9y"),
    ],
)  # fmt: skip
def test_at_most_two_units(seconds: int, expected: str) -> None:
    assert human(seconds) == expected


@given(st.integers(min_value=0, max_value=20 * YEAR))
def test_it_is_short(seconds: int) -> None:
    assert 2 <= len(human(seconds)) <= 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("1h2m3s", 3723), ("250ms", 0.25), ("1.5m", 90), (".5s", 0.5), ("0", 0), ("-2s", -2), ("3us", 3e-6)],
)
def test_what_go_reads(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["5", "s", "1 s", "1s ", "--1s", "1d", "1s2", f"{10**7}h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        seconds(text)
