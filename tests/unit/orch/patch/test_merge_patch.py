from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.patch import merge_patch
from tests.unit.orch.api.objects import SLOW_MACHINE


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a"], {"a": 1}, {"a": 1}),
        ({"a": 1}, ["c"], ["c"]),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_cases_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch.apply(target, patch) == result


values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@SLOW_MACHINE
@given(objects, objects)
def test_three_way_turns_what_was_applied_into_what_is_wanted(original: dict[str, Any], wanted: dict[str, Any]) -> None:
    patch = merge_patch.three_way(original, wanted, original)
    assert merge_patch.apply(original, patch) == wanted
    assert merge_patch.three_way(wanted, wanted, wanted) == {}


@SLOW_MACHINE
@given(objects, objects, objects)
def test_after_three_way_nothing_is_left_to_do(
    original: dict[str, Any], wanted: dict[str, Any], current: dict[str, Any]
) -> None:
    patched = merge_patch.apply(current, merge_patch.three_way(original, wanted, current))
    assert merge_patch.three_way(wanted, wanted, patched) == {}


def test_what_others_set_stays() -> None:
    current = {"spec": {"a": 1, "theirs": 2, "gone": 3}}
    patch = merge_patch.three_way({"spec": {"a": 1, "gone": 3}}, {"spec": {"a": 5}}, current)
    assert patch == {"spec": {"gone": None, "a": 5}}
    assert merge_patch.apply(current, patch) == {"spec": {"a": 5, "theirs": 2}}
