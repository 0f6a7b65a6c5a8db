"""What the types say of their fields, as data: the one reading of annotations that codec, patches and OpenAPI share.

It knows shapes only, never a value. `fields_of` is pure and remembered: types do not change at run time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from orch.api.base import ApiStruct, ListRule, MicroTime


class Form(StrEnum):
    """What a JSON value of the API looks like; the text is what error messages call it."""

    STRUCT = "an object"
    MAP = "a map"
    LIST = "a list"
    STRING = "a string"
    INTEGER = "an integer"
    BOOLEAN = "a boolean"
    BYTES = "a base64 string"
    TIME = "an RFC 3339 time"
    MICRO_TIME = "an RFC 3339 time with fractional seconds"
    INT_OR_STRING = "an integer or a string"
    QUANTITY = "a quantity"
    ANY = "any value"
    RAW = "an object kept as text"


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one value. `item` is set for lists and maps, `struct` for structs, `bits` for integers."""

    form: Form
    item: "Shape | None" = None
    struct: type[ApiStruct] | None = None
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct. `attribute` is its Python name, `name` its JSON name."""

    name: str
    attribute: str
    shape: Shape
    rule: ListRule | None = None
    always: bool = False
    """Written on output even when it holds its zero value."""
    default: Any = None
    """What stands for an absent value, where the field is not always written."""


@cache
def fields_of(struct: type[ApiStruct]) -> Mapping[str, Field]:
    """JSON name -> field, in the order in which they are written."""
    return {info.encode_name: _field(info) for info in msgspec.structs.fields(struct)}


def _field(info: msgspec.structs.FieldInfo) -> Field:
    return Field(
        name=info.encode_name,
        attribute=info.name,
        shape=shape_of(info.type),
        rule=_rule(info.type),
        always=info.default is msgspec.NODEFAULT,
        default=None if info.default is msgspec.NODEFAULT else info.default,
    )


def _rule(annotation: Any) -> ListRule | None:
    for meta in _metas(annotation):
        rule = (meta.extra or {}).get("list_rule")
        if isinstance(rule, ListRule):
            return rule
    return None


def _metas(annotation: Any) -> list[msgspec.Meta]:
    if get_origin(annotation) is not Annotated:
        return []
    return [meta for meta in get_args(annotation)[1:] if isinstance(meta, msgspec.Meta)]


@cache
def shape_of(annotation: Any) -> Shape:
    """The shape of a type annotation as the modules of this package write them."""
    if annotation == MicroTime:
        return Shape(Form.MICRO_TIME)
    metas = _metas(annotation)
    if metas:
        shape = shape_of(get_args(annotation)[0])
        return _wide(metas) if shape.form is Form.INTEGER else shape
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return _union_shape(tuple(arg for arg in get_args(annotation) if arg is not NoneType))
    if origin is tuple:
        return Shape(Form.LIST, item=shape_of(get_args(annotation)[0]))
    if origin is dict:
        return Shape(Form.MAP, item=shape_of(get_args(annotation)[1]))
    if isinstance(annotation, type) and issubclass(annotation, ApiStruct):
        return Shape(Form.STRUCT, struct=annotation)
    return _SCALARS[annotation]


def _wide(metas: list[msgspec.Meta]) -> Shape:
    formats = [str(meta.extra_json_schema["format"]) for meta in metas if meta.extra_json_schema]
    return Shape(Form.INTEGER, bits=int(formats[0].removeprefix("int")))


def _union_shape(members: tuple[Any, ...]) -> Shape:
    if float in members:
        return Shape(Form.QUANTITY)
    if set(members) == {int, str}:
        return Shape(Form.INT_OR_STRING)
    (member,) = members
    return shape_of(member)


_SCALARS: Mapping[Any, Shape] = {
    str: Shape(Form.STRING),
    int: Shape(Form.INTEGER, bits=64),
    bool: Shape(Form.BOOLEAN),
    bytes: Shape(Form.BYTES),
    datetime: Shape(Form.TIME),
    Any: Shape(Form.ANY),
    msgspec.Raw: Shape(Form.RAW),
}
