"""The errors of the registry, in the words of apimachinery `api/errors`, since people search for them."""

from collections.abc import Sequence
from typing import Any

from orch.api.kind import Kind
from orch.errors import AlreadyExists, BadRequest, Cause, Conflict, Forbidden, Invalid, NotFound

CHANGED = "the object has been modified; please apply your changes to the latest version and try again"


def not_found(kind: Kind[Any], name: str) -> NotFound:
    return NotFound(f'{kind.resource} "{name}" not found', group=kind.group, kind=kind.plural, name=name)


def already_exists(kind: Kind[Any], name: str) -> AlreadyExists:
    return AlreadyExists(f'{kind.resource} "{name}" already exists', group=kind.group, kind=kind.plural, name=name)


def conflict(kind: Kind[Any], name: str, why: str = CHANGED, *, subresource: str = "") -> Conflict:
    resource = f"{kind.resource}/{subresource}" if subresource else kind.resource
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return Conflict(message, group=kind.group, kind=kind.plural, name=name)


def forbidden(kind: Kind[Any], name: str, why: str, causes: Sequence[Cause] = ()) -> Forbidden:
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    message = f"{subject} is forbidden: {why}"
    return Forbidden(message, group=kind.group, kind=kind.plural, name=name, causes=causes)


def invalid(kind: Kind[Any], name: str, causes: Sequence[Cause]) -> Invalid:
    """Every cause is in the message as well."""
    details = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    text = details[0] if len(details) == 1 else f"[{', '.join(details)}]"
    message = f'{kind.kind} "{name}" is invalid: {text}'
    return Invalid(message, group=kind.group, kind=kind.kind, name=name, causes=causes)


def invalid_value(field: str, value: object, why: str) -> Cause:
    """FieldValueInvalid, as field.Invalid of apimachinery prints it."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)


def bad_number(field: str, text: str) -> BadRequest:
    return BadRequest(f'{field}: Invalid value: "{text}": must be a non-negative integer')
