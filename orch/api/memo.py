"""Pure functions of API structs, remembered by the JSON of their argument.

Most objects are made from a template that was seen before: encoding a pod's spec takes 3 us, defaulting it 150 us and
validating it 300 us. Since equal arguments give the same result object, objects made from one template also share
their memory. Only for functions whose result depends on nothing but their arguments.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import TypeVar, TypeVarTuple

import msgspec

from orch.api.base import ApiStruct

S = TypeVar("S", bound=ApiStruct)
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

RESULTS_KEPT_MAX = 512
"""Per function."""
ARGUMENT_MAX_BYTES = 16 * 1024
"""What is larger is seldom seen twice."""

_encode = msgspec.json.Encoder().encode


class _Argument:
    """A struct, known again by its JSON. The cache keeps the first of equal ones."""

    __slots__ = ("_hash", "_json", "value")

    def __init__(self, value: ApiStruct, text: bytes) -> None:
        self.value, self._json, self._hash = value, text, hash(text)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Argument) and self._json == other._json


def remembered(function: Callable[[S, *Ts], R]) -> Callable[[S, *Ts], R]:
    """`function`, whose further arguments are hashable; what it returns must never be changed in place."""

    @lru_cache(RESULTS_KEPT_MAX)
    def known(argument: _Argument, *others: Hashable) -> R:
        return function(argument.value, *others)  # type: ignore[arg-type]

    @wraps(function)
    def remembering(value: S, *others: *Ts) -> R:
        text = _encode(value)
        if len(text) > ARGUMENT_MAX_BYTES:
            return function(value, *others)
        return known(_Argument(value, text), *others)

    return remembering
