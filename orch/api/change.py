"""Copies of frozen objects that keep identity: when nothing changes, the same object comes back.

Defaulting is built of these, so that defaulting an object that has its defaults costs no copy, and `is` tells whether
anything happened.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from orch.api.base import ApiStruct

S = TypeVar("S", bound=ApiStruct)
V = TypeVar("V")


def fill(obj: S, **defaults: Any) -> S:
    """`obj` with each named attribute that is None set to its default: zero, false and "" are choices of the user."""
    missing = {name: value for name, value in defaults.items() if getattr(obj, name) is None}
    return replace(obj, **missing) if missing else obj


def fill_zero(obj: S, **defaults: Any) -> S:
    """`obj` with each named attribute that is None, 0 or "" set to its default: for fields where Kubernetes can't tell
    the zero value from absence."""
    missing = {name: value for name, value in defaults.items() if value and not getattr(obj, name)}
    return replace(obj, **missing) if missing else obj


def change(obj: S, **values: Any) -> S:
    """`obj` with the named attributes set, where the new value is another object than the old."""
    changed = {name: value for name, value in values.items() if getattr(obj, name) is not value}
    return replace(obj, **changed) if changed else obj


def each(items: tuple[V, ...], function: Callable[[V], V]) -> tuple[V, ...]:
    """`function` over a tuple; the same tuple when every item stayed the same object."""
    changed = tuple(function(item) for item in items)
    return items if all(new is old for new, old in zip(changed, items, strict=True)) else changed


def each_or_none(items: tuple[V, ...] | None, function: Callable[[V], V]) -> tuple[V, ...] | None:
    return each(items, function) if items else items


def into(value: S | None, function: Callable[[S], S]) -> S | None:
    """`function` of an optional struct."""
    return None if value is None else function(value)
