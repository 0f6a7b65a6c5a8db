"""Eviction thresholds: what the options say, when they count, and what they lead to."""

import pytest

from nodeagent.pressure import (
    DEFAULT_HARD,
    Amount,
    Assessment,
    History,
    InvalidThresholds,
    Level,
    Signal,
    Threshold,
    assess,
    duration_s,
    thresholds,
)

MI = 1 << 20
TRANSITION_S = 300.0


def look(available_mi: int, rules: tuple[Threshold, ...], before: History, now_s: float) -> Assessment:
    levels = {Signal.MEMORY: Level(available_mi * MI, 1000 * MI), Signal.PIDS: Level(10, 100)}
    return assess(levels, rules, before, TRANSITION_S, now_s)


def test_the_default_is_kubelets_and_process_ids() -> None:
    found = {t.signal: t.least for t in thresholds(DEFAULT_HARD)}
    assert found[Signal.MEMORY] == Amount(100 * MI)
    assert (found[Signal.NODEFS], found[Signal.IMAGEFS]) == (Amount(percent=10), Amount(percent=15))
    assert set(found) == set(Signal)


def test_options_of_soft_thresholds() -> None:
    found = thresholds("", "memory.available<1Gi", "memory.available=1m30s", "memory.available=200Mi")
    assert found == (Threshold(Signal.MEMORY, Amount(1 << 30), 90.0, False, Amount(200 * MI)),)


@pytest.mark.parametrize(
    "options",
    [
        ("memory.free<1Gi",), ("memory.available=1Gi",), ("memory.available<much",), ("memory.available<-1",),
        ("nodefs.available<101%",), ("", "memory.available<1Gi"), ("", "memory.available<1Gi", "memory.available=90"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(InvalidThresholds):
        thresholds(*options)


def test_durations() -> None:
    assert [duration_s(text) for text in ("250ms", "90s", "1h2m3s")] == [0.25, 90.0, 3723.0]


def test_a_hard_threshold_acts_at_once_and_its_condition_outlasts_it() -> None:
    rules = thresholds("memory.available<100Mi")
    low = look(99, rules, History(), 0.0)
    assert (low.conditions, low.to_relieve) == ({"MemoryPressure"}, rules[0])
    well = look(100, rules, low.history, 10.0)
    assert (well.conditions, well.to_relieve) == ({"MemoryPressure"}, None)
    assert look(100, rules, well.history, TRANSITION_S).conditions == set()


def test_a_soft_threshold_waits_and_forgets() -> None:
    rules = thresholds("", "memory.available<100Mi", "memory.available=30s")
    first = look(99, rules, History(), 0.0)
    assert (first.conditions, first.to_relieve) == ({"MemoryPressure"}, None)
    assert look(99, rules, first.history, 30.0).to_relieve == rules[0]
    interrupted = look(100, rules, first.history, 20.0)
    assert look(99, rules, interrupted.history, 30.0).to_relieve is None


def test_a_crossed_threshold_counts_until_more_than_it_is_won() -> None:
    rules = thresholds("memory.available<100Mi", min_reclaim="memory.available=50Mi")
    assert look(120, rules, History(), 0.0).to_relieve is None
    low = look(99, rules, History(), 0.0)
    assert look(149, rules, low.history, 1.0).to_relieve == rules[0]
    assert look(150, rules, low.history, 1.0).to_relieve is None


def test_memory_comes_first() -> None:
    rules = thresholds("pid.available<50%,memory.available<100Mi")
    found = look(50, rules, History(), 0.0)
    assert found.conditions == {"MemoryPressure", "PIDPressure"}
    assert found.to_relieve is not None
    assert found.to_relieve.signal is Signal.MEMORY


def test_a_threshold_of_nothing_is_never_crossed() -> None:
    assert look(0, thresholds("memory.available<0%"), History(), 0.0).conditions == set()
