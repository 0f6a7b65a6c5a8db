"""Sets of fields, in the form of FieldsV1 (meta/v1): nested dicts from path element to what lies below it.

A node says two things: whether its path is in the set, and what lies below. `{}` is a path with nothing below; a path
with something below is in the set only if its node has the key `.`. The root `{}` is the empty set.

Invariant: sets are never changed in place; results share nodes with their operands.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from orch.managed.elements import canonical, path_text

FieldSet = Mapping[str, Any]

OWN = "."
LEAF: FieldSet = {}
_MEMBER: FieldSet = {OWN: LEAF}
SETS_KEPT_MAX = 4096
"""Decoded sets that are remembered: objects made from one template have the same text."""

_encode = msgspec.json.Encoder(order="sorted").encode


def encode(fields: FieldSet) -> msgspec.Raw:
    return msgspec.Raw(_encode(fields))


def decode(text: msgspec.Raw) -> FieldSet:
    """A set that this module wrote; the same text is parsed once."""
    return _decode_kept(bytes(text))


@lru_cache(maxsize=SETS_KEPT_MAX)
def _decode_kept(text: bytes) -> FieldSet:
    decoded: FieldSet = msgspec.json.decode(text) if text else LEAF
    return decoded


def parse(text: msgspec.Raw) -> FieldSet:
    """A set that a client wrote. Raises ValueError for what is no FieldsV1."""
    try:
        return _canonical(msgspec.json.decode(bytes(text)) if text else LEAF)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"fieldsV1 is no set of fields: {error}") from error


def _canonical(node: Any) -> FieldSet:
    if not isinstance(node, dict):
        raise ValueError("fieldsV1 consists of objects only")
    return {OWN if element == OWN else canonical(element): _canonical(below) for element, below in node.items()}


def member(below: FieldSet) -> FieldSet:
    """The node of a path that is in the set."""
    return {OWN: LEAF, **below} if below else LEAF


def is_member(node: FieldSet) -> bool:
    return not node or OWN in node


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    if not one or not other:
        return one or other
    result = dict(one)
    for element, node in other.items():
        found = result.get(element)
        if found is None:
            result[element] = node
        elif found != node:
            result[element] = union(found or _MEMBER, node or _MEMBER)
    return result


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in `one` and not in `other`; what lies below a path of `other` stays."""
    result = {}
    for element, node in one.items():
        taken = other.get(element)
        if taken is None:
            result[element] = node
        elif element != OWN and (rest := difference(node or _MEMBER, taken or _MEMBER)):
            result[element] = _node(rest)
    return result


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    result = {}
    for element, node in one.items():
        found = other.get(element)
        if found is None:
            continue
        if element == OWN:
            result[element] = LEAF
        elif both := intersection(node or _MEMBER, found or _MEMBER):
            result[element] = _node(both)
    return result


def _node(contents: FieldSet) -> FieldSet:
    return LEAF if len(contents) == 1 and OWN in contents else contents


def is_disjoint(one: FieldSet, other: FieldSet) -> bool:
    for element, node in one.items():
        found = other.get(element)
        if found is None:
            continue
        if element == OWN or not is_disjoint(node or _MEMBER, found or _MEMBER):
            return False
    return True


def contains(one: FieldSet, other: FieldSet) -> bool:
    """Whether all of `other` is in `one`."""
    for element, node in other.items():
        found = one.get(element)
        if found is None or (element != OWN and not contains(found or _MEMBER, node or _MEMBER)):
            return False
    return True


def paths(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path of the set, sorted."""
    for element in sorted(fields):
        node = fields[element]
        if element == OWN:
            continue
        path = (*prefix, element)
        if is_member(node):
            yield path
        yield from paths(node, path)


def shown(fields: FieldSet) -> Iterator[str]:
    """Every path of the set as messages name it."""
    return (path_text(path) for path in paths(fields))
