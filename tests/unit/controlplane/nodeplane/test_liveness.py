"""Which nodes are lost, and when."""

from controlplane.nodeplane.liveness import TICK_S, Liveness


def ticks(liveness: Liveness, begin: float, end: float) -> list[tuple[float, str]]:
    """(when, node) of the losses between two moments, with a tick every TICK_S."""
    found = []
    for number in range(round((end - begin) / TICK_S) + 1):
        now = begin + number * TICK_S
        found += [(round(now, 1), node) for node in liveness.tick(now)]
    return found


def test_a_node_is_lost_when_it_has_been_silent_for_so_long() -> None:
    liveness = Liveness(1.5)
    liveness.heard("a", 0.0)
    assert ticks(liveness, 0.0, 1.4) == []
    assert ticks(liveness, 1.5, 1.6) == [(1.5, "a")]
    assert not liveness.is_alive("a")


def test_a_loss_is_told_once_and_a_heartbeat_brings_the_node_back() -> None:
    liveness = Liveness(1.5)
    liveness.heard("a", 0.0)
    assert ticks(liveness, 0.0, 3.0) == [(1.5, "a")]
    liveness.heard("a", 3.0)
    assert liveness.is_alive("a")
    assert ticks(liveness, 3.1, 5.0) == [(4.5, "a")]


def test_every_heartbeat_gives_the_whole_time_again() -> None:
    liveness = Liveness(1.5)
    for second in range(10):
        liveness.heard("a", second)
        assert ticks(liveness, second, second + 0.9) == []


def test_the_time_in_which_the_server_itself_stood_still_does_not_count() -> None:
    liveness = Liveness(1.5)
    liveness.heard("a", 0.0)
    assert ticks(liveness, 0.0, 1.0) == []
    assert liveness.tick(61.0) == ()
    assert ticks(liveness, 61.1, 62.0) == [(61.4, "a")]


def test_after_a_start_nodes_get_more_time() -> None:
    liveness = Liveness(1.5)
    liveness.expect("a", 0.0, 10.0)
    assert ticks(liveness, 0.0, 11.0) == [(10.0, "a")]


def test_a_forgotten_node_is_not_missed() -> None:
    liveness = Liveness(1.5)
    liveness.heard("a", 0.0)
    liveness.forget("a")
    assert ticks(liveness, 0.0, 3.0) == []
