import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.tables.columns import age, duration, labels, selector
from orch.api.meta import LabelSelector, LabelSelectorRequirement
from tests.builders import NOW, ago

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
def test_duration(seconds: int, expected: str) -> None:
    assert duration(seconds) == expected


@given(st.integers(min_value=0, max_value=20 * YEAR))
def test_duration_is_short(seconds: int) -> None:
    assert 2 <= len(duration(seconds)) <= 6


def test_age_without_a_time() -> None:
    assert (age(None, NOW), age(ago(30), NOW)) == ("<unknown>", "30s")


def test_labels_and_selectors() -> None:
    assert (labels(None), labels({"b": "1", "a": "2"})) == ("<none>", "a=2,b=1")
    expressions = (
        LabelSelectorRequirement(key="c", operator="DoesNotExist"),
        LabelSelectorRequirement(key="b", operator="NotIn", values=("y", "x")),
        LabelSelectorRequirement(key="d", operator="Exists"),
        LabelSelectorRequirement(key="e", operator="In", values=("z",)),
    )
    text = selector(LabelSelector(match_labels={"a": "1"}, match_expressions=expressions))
    assert text == "a=1,b notin (x,y),!c,d,e in (z)"
