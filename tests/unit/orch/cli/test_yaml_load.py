"""YAML scalars as Kubernetes' tools read them, and errors that say where."""

import math
from typing import Any

import pytest

from orch.cli.yaml_load import YamlError, load_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"), ("2020-01-01", "2020-01-01"), ("=", "="), ("1_000", "1_000"), ("'1'", "1"),
        ("yes", True), ("off", False), ("~", None), ("", None),
        ("12", 12), ("-5", -5), ("+3", 3), ("0x1F", 31), ("0o17", 15), ("017", 15),
        ("1.5", 1.5), ("1e3", 1000.0), ("-.inf", -math.inf), (".5", 0.5),
    ],
)  # fmt: skip
def test_scalars(text: str, value: Any) -> None:
    [(_, document)] = list(load_documents(f"x: {text}\n"))
    assert document == {"x": value}
    assert type(document["x"]) is type(value)


def test_documents_are_numbered_and_empty_ones_left_out() -> None:
    assert list(load_documents("a: 1\n---\n---\nb: 2\n")) == [(1, {"a": 1}), (3, {"b": 2})]


def test_merge_keys_are_no_duplicates() -> None:
    [(_, document)] = list(load_documents("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n"))
    assert document["c"] == {"b": 2}


@pytest.mark.parametrize(
    ("text", "document", "line", "problem"),
    [
        pytest.param("a: 1\na: 2", 1, 2, "'a' is there twice", id="duplicate key"),
        pytest.param("x: 1\n---\na: [1", 2, 4, "expected", id="unfinished list"),
        pytest.param("x: 1\n---\n\tx: 1", 2, 3, "cannot start any token", id="tab"),
        pytest.param("a: *z", 1, 1, "undefined alias", id="alias"),
        pytest.param("? [1, 2]\n: 3", 1, 1, "must be a text", id="list as key"),
        pytest.param("!!python/object:os.system {}", 1, 1, "constructor", id="foreign tag"),
        pytest.param("a: \x00", 1, 0, "control characters", id="binary"),
    ],
)
def test_errors_say_where(text: str, document: int, line: int, problem: str) -> None:
    with pytest.raises(YamlError, match=problem) as raised:
        list(load_documents(text))
    assert (raised.value.document, raised.value.line) == (document, line)
