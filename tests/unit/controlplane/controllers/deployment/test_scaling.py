"""Sizes of ReplicaSets: fence posts, rolling steps, proportional scaling."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controlplane.controllers.deployment.scaling import (
    MAX_REPLICAS,
    is_scaling_event,
    max_surge,
    max_unavailable,
    new_set_size,
    old_set_sizes,
    proportional_sizes,
    replicas_annotations,
)
from orch.api.replicaset import ReplicaSet
from tests.builders import deployment, replica_set


def sized(name: str, replicas: int, available: int | None = None, **fields: Any) -> ReplicaSet:
    return replica_set(name, replicas=replicas, ready=replicas if available is None else available, **fields)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(10, "25%", "25%", (3, 2), id="percentages round up and down"),
        pytest.param(4, "25%", "25%", (1, 1), id="even"),
        pytest.param(1, "25%", "25%", (1, 0), id="one replica"),
        pytest.param(10, 2, 0, (2, 0), id="numbers"),
        pytest.param(10, 0, 0, (0, 1), id="both zero"),
        pytest.param(3, 0, "10%", (0, 1), id="both round to zero"),
        pytest.param(2, 0, 5, (0, 2), id="never more than there are"),
        pytest.param(0, "25%", "25%", (0, 0), id="no replicas"),
    ],
)
def test_bounds(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    web = deployment(replicas=replicas, max_surge=surge, max_unavailable=unavailable)
    assert (max_surge(web), max_unavailable(web)) == expected


def test_a_recreate_has_no_surge() -> None:
    assert max_surge(deployment(strategy="Recreate")) == max_unavailable(deployment(strategy="Recreate")) == 0


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param(None, [], 10, id="first rollout"),
        pytest.param(None, [10], 3, id="surge only"),
        pytest.param(3, [10], 3, id="surge used up"),
        pytest.param(3, [8], 5, id="room"),
        pytest.param(10, [2], 10, id="complete"),
        pytest.param(12, [], 10, id="too many"),
        pytest.param(2, [20], 2, id="over the bound already"),
    ],
)
def test_the_new_set_grows_as_far_as_the_surge_allows(new: int | None, old: list[int], expected: int) -> None:
    web = deployment(replicas=10, max_surge=3, max_unavailable=2)
    new_set = None if new is None else sized("new", new)
    assert new_set_size(web, new_set, [sized(f"old-{i}", size) for i, size in enumerate(old)]) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param(sized("new", 3, 0), [sized("a", 10)], {"a": 8}, id="only maxUnavailable at first"),
        pytest.param(sized("new", 5, 3), [sized("a", 8)], {"a": 5}, id="as many as became available"),
        pytest.param(sized("new", 3, 0), [sized("a", 10, 7)], {"a": 8}, id="unhealthy ones first"),
        pytest.param(sized("new", 10), [sized("a", 2), sized("b", 1)], {"a": 0, "b": 0}, id="all old ones"),
        pytest.param(sized("new", 10, 0), [sized("a", 3, 3)], {"a": 3}, id="nothing to spare"),
        pytest.param(sized("new", 5, 5), [sized("a", 4, 0), sized("b", 4, 4)], {"a": 0, "b": 3}, id="oldest first"),
    ],
)
def test_old_sets_shrink_as_far_as_availability_allows(
    new: ReplicaSet, old: list[ReplicaSet], expected: dict[str, int]
) -> None:
    web = deployment(replicas=10, max_surge=3, max_unavailable=2)
    assert old_set_sizes(web, new, old) == expected


counts = st.integers(0, 12)


@given(counts, counts, counts, counts, st.integers(1, 10), st.integers(0, 5), st.integers(0, 5))
def test_bounds_hold_for_any_step(
    new: int, new_available: int, old: int, old_available: int, replicas: int, surge: int, unavailable: int
) -> None:
    assume(new_available <= new and old_available <= old)
    web = deployment(replicas=replicas, max_surge=surge, max_unavailable=unavailable)
    new_set, old_set = sized("new", new, new_available), sized("old", old, old_available)
    grown = new_set_size(web, new_set, [old_set])
    assert grown <= max(new, replicas)
    assert grown + old <= max(new + old, replicas + max_surge(web))
    minimum = replicas - max_unavailable(web)
    left = old_set_sizes(web, new_set, [old_set])["old"]
    # Not available ones go first, so that what is left of the available ones is the smaller of the two.
    assert new_available + min(left, old_available) >= min(minimum, new_available + old_available)


def with_max(name: str, replicas: int, maximum: int) -> ReplicaSet:
    return sized(name, replicas, annotations={MAX_REPLICAS: str(maximum)})


@pytest.mark.parametrize(
    ("replicas", "new", "old", "expected"),
    [
        pytest.param(10, None, [sized("a", 5)], {"a": 10}, id="one active set takes it all"),
        pytest.param(10, sized("new", 0), [], {"new": 10}, id="the new set when none is active"),
        pytest.param(10, None, [sized("a", 0), sized("b", 0)], {"b": 10}, id="the latest when there is no new one"),
        pytest.param(
            20, with_max("new", 5, 12), [with_max("a", 5, 12)], {"new": 13, "a": 9}, id="leftovers to the largest"
        ),
        pytest.param(
            20, with_max("new", 3, 12), [with_max("a", 8, 12)], {"new": 6, "a": 16}, id="by proportion"
        ),
        pytest.param(5, with_max("new", 5, 12), [with_max("a", 7, 12)], {"new": 3, "a": 4}, id="shrinks both"),
        pytest.param(0, with_max("new", 5, 12), [with_max("a", 7, 12)], {"new": 0, "a": 0}, id="to nothing"),
    ],
)  # fmt: skip
def test_proportional_scaling(
    replicas: int, new: ReplicaSet | None, old: list[ReplicaSet], expected: dict[str, int]
) -> None:
    web = deployment(replicas=replicas, max_surge=2, max_unavailable=2)
    sizes = proportional_sizes(web, new, old)
    assert sizes == expected


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.integers(1, 60), st.integers(1, 60))
def test_shares_add_up_to_what_is_allowed(sizes: list[int], before: int, after: int) -> None:
    web = deployment(replicas=after, max_surge="25%", max_unavailable="25%")
    sets = [with_max(f"rs-{number}", size, before) for number, size in enumerate(sizes)]
    shares = proportional_sizes(web, sets[0], sets[1:])
    assert all(size >= 0 for size in shares.values())
    assert sum(shares.values()) == after + max_surge(web)


def test_a_scaling_event_is_seen_by_the_annotation_of_active_sets() -> None:
    web = deployment(replicas=5)
    noted = replicas_annotations(deployment(replicas=3))
    assert is_scaling_event(web, [sized("a", 3, annotations=noted)])
    assert not is_scaling_event(web, [sized("a", 0, annotations=noted)])
    assert not is_scaling_event(web, [sized("a", 5, annotations=replicas_annotations(web))])
    assert not is_scaling_event(web, [sized("a", 3)])
