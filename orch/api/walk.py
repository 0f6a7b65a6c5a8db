"""The slow walk over plain data along a shape: prunes, names and refuses, field by field.

Rules, as kube-apiserver reads JSON: names are case-sensitive; null is an absent field, and inside a list or map it is
the zero value; whitespace inside base64 is skipped.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from orch.api.base import QUANTITY_PATTERN, ApiStruct, Time
from orch.api.schema import Form, Shape, fields_of
from orch.errors import BadRequest

_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_QUANTITY = re.compile(QUANTITY_PATTERN)
FOUND_TEXT_MAX_CHARS = 64
"""Of an offending value, as shown in a message."""


class Walk:
    """One walk over one object. `problems` collects the unknown fields; a wrong type raises BadRequest."""

    def __init__(self, subject: str) -> None:
        self.problems: list[str] = []
        self._subject = subject

    def value(self, value: Any, shape: Shape, path: str) -> Any:
        """`value` without nulls and unknown fields. Raises BadRequest at the first wrong type."""
        if shape.form is Form.STRUCT and shape.struct is not None:
            return self._struct(value, shape.struct, path)
        if shape.form is Form.MAP and shape.item is not None:
            return self._map(value, shape.item, path)
        if shape.form is Form.LIST and shape.item is not None:
            return self._list(value, shape.item, path)
        if not _IS[shape.form](value, shape):
            raise self.refusal(f"{path}: expected {_expected(shape)}, found {describe(value)}")
        if shape.form is Form.RAW:
            return value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))
        return "".join(value.split()) if shape.form is Form.BYTES and isinstance(value, str) else value

    def refusal(self, detail: str) -> BadRequest:
        return BadRequest(f"{self._subject}: {detail}")

    def _struct(self, value: Any, struct: type[ApiStruct], path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.refusal(f"{path or 'the body'}: expected an object, found {describe(value)}")
        fields, pruned, prefix = fields_of(struct), {}, f"{path}." if path else ""
        for name, item in value.items():
            field = fields.get(name)
            if field is None:
                self.problems.append(f'unknown field "{prefix}{name}"')
            elif item is not None:
                pruned[name] = self.value(item, field.shape, f"{prefix}{name}")
        return pruned

    def _map(self, value: Any, item: Shape, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.refusal(f"{path}: expected a map, found {describe(value)}")
        return {
            name: _ZERO[item.form] if entry is None else self.value(entry, item, f"{path}.{name}")
            for name, entry in value.items()
        }

    def _list(self, value: Any, item: Shape, path: str) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise self.refusal(f"{path}: expected a list, found {describe(value)}")
        return [
            _ZERO[item.form] if entry is None else self.value(entry, item, f"{path}[{index}]")
            for index, entry in enumerate(value)
        ]


def describe(value: Any) -> str:
    """A JSON value in the words of an error message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        text = value if len(value) <= FOUND_TEXT_MAX_CHARS else value[:FOUND_TEXT_MAX_CHARS] + "..."
        return f'the string "{text}"'
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list | tuple) else "an object"


def _expected(shape: Shape) -> str:
    return f"an integer of {shape.bits} bits" if shape.form is Form.INTEGER else str(shape.form)


def _is_int(value: Any, bits: int = 64) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


def _is_quantity(value: Any, shape: Shape) -> bool:
    if isinstance(value, str):
        return _QUANTITY.match(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_base64(value: Any, shape: Shape) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bytes)
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_time(value: Any, shape: Shape) -> bool:
    try:
        return msgspec.convert(value, Time) is not None
    except msgspec.ValidationError:
        return False


_IS: Mapping[Form, Callable[[Any, Shape], bool]] = {
    Form.STRING: lambda value, shape: isinstance(value, str),
    Form.INTEGER: lambda value, shape: _is_int(value, shape.bits),
    Form.BOOLEAN: lambda value, shape: isinstance(value, bool),
    Form.BYTES: _is_base64,
    Form.TIME: _is_time,
    Form.MICRO_TIME: lambda value, shape: isinstance(value, str) and _MICRO_TIME.fullmatch(value) is not None,
    Form.INT_OR_STRING: lambda value, shape: isinstance(value, str) or _is_int(value, 32),
    Form.QUANTITY: _is_quantity,
    Form.ANY: lambda value, shape: True,
    Form.RAW: lambda value, shape: isinstance(value, Mapping | msgspec.Raw),
}

_ZERO: Mapping[Form, Any] = {
    Form.STRUCT: {},
    Form.MAP: {},
    Form.LIST: [],
    Form.STRING: "",
    Form.INTEGER: 0,
    Form.BOOLEAN: False,
    Form.BYTES: "",
    Form.QUANTITY: "0",
    Form.ANY: None,
    Form.RAW: {},
}
