import pytest

from nodeagent.probes.thresholds import Thresholds


@pytest.mark.parametrize(
    ("success", "failure", "results", "verdicts"),
    [
        pytest.param(1, 3, "++", [True, None], id="the first is told, the same is not told again"),
        pytest.param(1, 3, "---", [None, None, False], id="a failure needs its run"),
        pytest.param(1, 3, "+--+--", [True, None, None, None, None, None], id="a success breaks the run"),
        pytest.param(1, 2, "+--+", [True, None, False, True], id="there and back"),
        pytest.param(2, 1, "-+++", [False, None, True, None], id="a success needs its run"),
    ],
)
def test_verdicts(success: int, failure: int, results: str, verdicts: list[bool | None]) -> None:
    thresholds = Thresholds(success, failure)
    assert [thresholds.observe(result == "+") for result in results] == verdicts
