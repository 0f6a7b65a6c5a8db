from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.errors import BadRequest, Invalid
from orch.patch import json_patch
from tests.unit.orch.api.objects import SLOW_MACHINE

DOC = {"a": {"b": [1, 2, 3]}, "x/y": {"~": True}, "one": 1}


@pytest.mark.parametrize(
    ("operation", "path", "result"),
    [
        ({"op": "add", "path": "/a/c", "value": 1}, ["a", "c"], 1),
        ({"op": "add", "path": "/a/b/1", "value": 9}, ["a", "b"], [1, 9, 2, 3]),
        ({"op": "add", "path": "/a/b/-", "value": 9}, ["a", "b"], [1, 2, 3, 9]),
        ({"op": "add", "path": "/a/b/3", "value": 9}, ["a", "b"], [1, 2, 3, 9]),
        ({"op": "add", "path": "/one", "value": None}, ["one"], None),
        ({"op": "remove", "path": "/a/b/0"}, ["a", "b"], [2, 3]),
        ({"op": "remove", "path": "/x~1y/~0"}, ["x/y"], {}),
        ({"op": "replace", "path": "/a/b/2", "value": "c"}, ["a", "b"], [1, 2, "c"]),
        ({"op": "replace", "path": "", "value": {"z": 1}}, [], {"z": 1}),
        ({"op": "copy", "from": "/a/b", "path": "/c"}, ["c"], [1, 2, 3]),
        ({"op": "move", "from": "/a/b", "path": "/c"}, ["c"], [1, 2, 3]),
        ({"op": "move", "from": "/a/b/0", "path": "/a/b/2"}, ["a", "b"], [2, 3, 1]),
        ({"op": "test", "path": "/a", "value": {"b": [1.0, 2, 3]}}, ["one"], 1),
    ],
    ids=lambda value: f"{value['op']} {value['path']}" if isinstance(value, dict) and "op" in value else "",
)
def test_operations(operation: dict[str, Any], path: list[str], result: Any) -> None:
    patched = json_patch.apply(DOC, [operation])
    for step in path:
        patched = patched[step]
    assert patched == result
    assert DOC == {"a": {"b": [1, 2, 3]}, "x/y": {"~": True}, "one": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nope"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/nope/deeper", "value": 1},
        {"op": "add", "path": "/a/b/4", "value": 1},
        {"op": "add", "path": "/a/b/01", "value": 1},
        {"op": "add", "path": "/one/x", "value": 1},
        {"op": "remove", "path": "/a/b/-"},
        {"op": "test", "path": "/one", "value": True},
        {"op": "test", "path": "/one", "value": 2},
        {"op": "move", "from": "/a", "path": "/a/b/c"},
        {"op": "copy", "from": "/nope", "path": "/c"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="operation 1"):
        json_patch.apply(DOC, [{"op": "test", "path": "/one", "value": 1}, operation])


def test_copies_that_double_the_document_are_refused() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/x{n}"} for n in range(30)]
    with pytest.raises(Invalid, match=r"operation 17 .*at most 3145728 bytes"):
        json_patch.apply({"a": {"b": "0123456789"}}, doubling)


def test_copies_count_together() -> None:
    half = {"a": "x" * (json_patch.COPIED_BYTES_MAX // 2 - 2)}
    copies = [{"op": "copy", "from": "/a", "path": f"/{name}"} for name in "bcd"]
    assert json_patch.apply(half, copies[:2])["c"] == half["a"]
    with pytest.raises(Invalid, match="operation 2"):
        json_patch.apply(half, copies)


@pytest.mark.parametrize(
    "patch",
    [
        {},
        "x",
        [1],
        [{}],
        [{"op": "frob", "path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "remove", "path": 1}],
        [{"op": ["add"], "path": "/a"}],
        [{"op": "remove", "path": "/a"}] * 10_001,
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch.apply(DOC, patch)


scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x"])
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab~/"), inner, max_size=3)
)
objects = st.dictionaries(st.sampled_from("ab~/"), documents, max_size=3)


def pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


@SLOW_MACHINE
@given(objects, st.sampled_from("ab~/"), documents)
def test_what_was_added_is_found_and_can_be_removed(document: dict[str, Any], key: str, value: Any) -> None:
    added = json_patch.apply(document, [{"op": "add", "path": pointer(key), "value": value}])
    assert json_patch.apply(added, [{"op": "test", "path": pointer(key), "value": value}]) == added
    without = {name: inner for name, inner in document.items() if name != key}
    assert json_patch.apply(added, [{"op": "remove", "path": pointer(key)}]) == without
