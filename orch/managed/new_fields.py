"""The set of fields of a new object, as text. Creation is the busiest write and most new objects are like another one.

The text of each part of an object (metadata, spec, data) is remembered by the part's JSON: what is made from one
template is computed once. Invariant: the same text as the set that `compare` gives against an empty object.
"""

from functools import cache, lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import fields, replace

from orch.api.codec import UntypedObject
from orch.api.meta import Object, ObjectMeta
from orch.managed import sets
from orch.managed.compare import compare_objects
from orch.managed.schema import Record

T = TypeVar("T", bound=Object)

PARTS_KEPT_MAX = 2048
PART_KEPT_MAX_BYTES = 8 * 1024
"""A larger part (the data of a ConfigMap) is seldom made twice."""

_encode = msgspec.json.Encoder().encode
_METADATA_LEFT_OUT: dict[str, Any] = {
    "name": "",
    "namespace": "",
    "uid": "",
    "resource_version": "",
    "generation": None,
    "creation_timestamp": None,
    "self_link": None,
    "managed_fields": None,
}
"""Of each object its own, and nobody's field."""


def new_fields(obj: Object, root: Record) -> msgspec.Raw:
    """Everything in `obj` that is not there in an empty object of its type; empty text for nothing."""
    if isinstance(obj, UntypedObject):
        found = compare_objects(empty(UntypedObject), obj, root).changed
        return sets.encode(found) if found else msgspec.Raw()
    parts = []
    for member, value in zip(root.members, root.values(obj), strict=True):
        if value is None or value == member.default:
            continue
        if isinstance(value, ObjectMeta):
            value = replace(value, **_METADATA_LEFT_OUT)
        if text := _part(root, member.attribute, _encode(value)):
            parts.append(text)
    return msgspec.Raw(b"{" + b",".join(parts) + b"}") if parts else msgspec.Raw()


def _part(root: Record, attribute: str, value: bytes) -> bytes:
    compute = _kept_part if len(value) <= PART_KEPT_MAX_BYTES else _part_text
    return compute(root, attribute, value)


def _part_text(root: Record, attribute: str, value: bytes) -> bytes:
    """`"f:spec":{...}`; empty when the part is as in an empty object."""
    nothing = empty(root.struct)
    part = replace(nothing, **{attribute: msgspec.json.decode(value, type=_type_of(root.struct, attribute))})
    changed = compare_objects(nothing, part, root).changed
    return bytes(sets.encode(changed))[1:-1] if changed else b""


_kept_part = lru_cache(maxsize=PARTS_KEPT_MAX)(_part_text)


@cache
def empty(struct: type[T]) -> T:
    """What a new object is compared with."""
    return struct()


@cache
def _type_of(struct: type[Any], attribute: str) -> Any:
    return next(field.type for field in fields(struct) if field.name == attribute)
