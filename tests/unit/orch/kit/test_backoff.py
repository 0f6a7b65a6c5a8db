"""Delays double per key up to the maximum and start anew once forgotten."""

from orch.kit.backoff import Backoff


def test_delays_double_up_to_the_maximum() -> None:
    backoff = Backoff[str](0.5, 3.0)
    assert [backoff.next_s("a") for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_keys_do_not_share_failures() -> None:
    backoff = Backoff[str](1.0, 60.0)
    backoff.next_s("a")
    assert backoff.next_s("b") == 1.0


def test_a_forgotten_key_starts_anew() -> None:
    backoff = Backoff[str](1.0, 60.0)
    backoff.next_s("a")
    backoff.next_s("a")
    backoff.forget("a")
    assert backoff.next_s("a") == 1.0
    assert len(backoff) == 1


def test_a_thousand_failures_stay_at_the_maximum() -> None:
    backoff = Backoff[str](1.0, 60.0)
    assert [backoff.next_s("a") for _ in range(1000)][-1] == 60.0
