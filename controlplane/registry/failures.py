"""The errors of the registry, in the words of apimachinery `api/errors`, since people search for them."""

from collections.abc import Sequence
from typing import Any

from orch.api.causes import Causes, invalid
from orch.api.kind import Kind
from orch.errors import AlreadyExists, Cause, Conflict, Forbidden, Invalid, NotFound

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


def invalid_value(kind: Kind[Any], name: str, field: str, value: object, why: str) -> Invalid:
    """422 for one field."""
    causes = Causes()
    causes.invalid(field, value, why)
    return invalid(kind, name, causes.found)


def required(kind: Kind[Any], name: str, field: str, detail: str) -> Invalid:
    """422 for a field that is missing."""
    causes = Causes()
    causes.required(field, detail)
    return invalid(kind, name, causes.found)
