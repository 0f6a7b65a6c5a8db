"""The algebra of field sets, and FieldsV1 as text."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.managed import sets
from orch.managed.elements import canonical, key_element, path_text, value_element

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])
PATHS = st.lists(ELEMENTS, min_size=1, max_size=3).map(tuple)
PATH_SETS = st.frozensets(PATHS, max_size=8)


def build(paths: frozenset[tuple[str, ...]]) -> sets.FieldSet:
    """One path at a time, which is how sets are made nowhere else."""
    result: sets.FieldSet = {}
    for path in sorted(paths):
        one: sets.FieldSet = {}
        for element in reversed(path):
            one = {element: one}
        result = sets.union(result, one)
    return result


def members(fields: sets.FieldSet) -> frozenset[tuple[str, ...]]:
    return frozenset(sets.paths(fields))


@given(PATH_SETS)
def test_a_set_comes_back_from_its_text(paths: frozenset[tuple[str, ...]]) -> None:
    fields = build(paths)
    assert members(fields) == paths
    assert sets.decode(sets.encode(fields)) == sets.parse(sets.encode(fields)) == fields


@given(PATH_SETS, PATH_SETS)
def test_the_algebra_is_that_of_sets(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> None:
    a, b = build(one), build(other)
    assert members(sets.union(a, b)) == one | other
    assert members(sets.difference(a, b)) == one - other
    assert members(sets.intersection(a, b)) == one & other
    assert sets.is_disjoint(a, b) == one.isdisjoint(other)
    assert sets.contains(a, b) == (one >= other)


@given(PATH_SETS, PATH_SETS)
def test_equal_sets_are_equal_dicts(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> None:
    assert sets.difference(build(one | other), build(other)) == build(one - other)
    assert sets.intersection(build(one), build(other)) == build(one & other)


@pytest.mark.parametrize(
    "text", ["[]", '{"x:a":{}}', '{"f:a":1}', '{"k:[]":{}}', '{"i:x":{}}', "null", "{", '{"v:":{}}']
)
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (that it is refused, whatever the words)
        sets.parse(msgspec.Raw(text.encode()))


def test_elements_have_one_spelling() -> None:
    assert canonical('k:{"protocol": "TCP", "containerPort":80}') == key_element(
        {"containerPort": 80, "protocol": "TCP"}
    )
    assert canonical("v: 1") == value_element(1)
    assert sets.parse(msgspec.Raw(b'{"k:{\\"b\\":1,\\"a\\":2}":{".":{}}}'))['k:{"a":2,"b":1}'] == {".": {}}


def test_paths_are_shown_as_conflicts_name_them() -> None:
    path: tuple[Any, ...] = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name")
    assert path_text(path) == '.spec[containerPort=80,protocol="TCP"].name'
    assert path_text(("f:metadata", "f:finalizers", f"v:{json.dumps('x')}", "i:3")) == '.metadata.finalizers[="x"][3]'
