"""JSON Patch (RFC 6902). Operations apply in order, all or nothing.

Invariant: a patch can make a document longer only by what it carries and by COPIED_BYTES_MAX.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orch.errors import BadRequest, Invalid, OrchError

OPERATIONS_MAX = 10_000
COPIED_BYTES_MAX = 3 * 1024**2
"""JSON bytes that all copies of one patch make together (kube-apiserver's AccumulatedCopySizeLimit): each copy of a
parent into itself doubles it."""
_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "test": ("path", "value"),
    "move": ("path", "from"),
    "copy": ("path", "from"),
}


class _CannotApply(OrchError):
    """The operation does not fit the document."""


def apply(document: Any, operations: Any) -> Any:
    """The patched document. Raises BadRequest for what is no JSON patch, Invalid for one that does not fit."""
    copied_bytes = 0
    for index, operation in enumerate(_checked(operations)):
        try:
            copied_bytes += _copied_bytes(document, operation)
            if copied_bytes > COPIED_BYTES_MAX:
                raise _CannotApply(f"the copies of a patch have at most {COPIED_BYTES_MAX} bytes together")
            document = _apply_one(document, operation)
        except _CannotApply as error:
            what = f"operation {index} ({operation['op']} {operation['path']!r})"
            raise Invalid(f"the JSON patch can't be applied: {what}: {error}") from error
    return document


def _checked(operations: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(operations, list | tuple):
        raise BadRequest("a JSON patch is a list of operations")
    if len(operations) > OPERATIONS_MAX:
        raise BadRequest(f"a JSON patch has at most {OPERATIONS_MAX} operations, found {len(operations)}")
    for index, operation in enumerate(operations):
        members = _MEMBERS.get(str(operation.get("op"))) if isinstance(operation, Mapping) else None
        if members is None:
            raise BadRequest(f"JSON patch operation {index}: op must be one of {', '.join(_MEMBERS)}")
        for member in members:
            if member not in operation:
                raise BadRequest(f"JSON patch operation {index} ({operation['op']}): {member!r} is missing")
            if member != "value" and not _is_pointer(operation[member]):
                raise BadRequest(f"JSON patch operation {index}: {member!r} must be a JSON pointer")
    return operations


def _is_pointer(text: Any) -> bool:
    return isinstance(text, str) and (not text or text.startswith("/"))


def _copied_bytes(document: Any, operation: Mapping[str, Any]) -> int:
    if operation["op"] != "copy":
        return 0
    return len(msgspec.json.encode(_get(document, _tokens(operation["from"]))))


def _apply_one(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _tokens(operation["path"])
    match operation["op"]:
        case "add":
            return _add(document, path, operation["value"])
        case "remove":
            return _remove(document, path)
        case "replace":
            _get(document, path)
            return _add(_remove(document, path), path, operation["value"]) if path else operation["value"]
        case "copy":
            return _add(document, path, _get(document, _tokens(operation["from"])))
        case "move":
            return _move(document, _tokens(operation["from"]), path)
        case _:
            if not equal(_get(document, path), operation["value"]):
                raise _CannotApply("the value found is another")
            return document


def _move(document: Any, source: list[str], target: list[str]) -> Any:
    if target[: len(source)] == source and target != source:
        raise _CannotApply("a value can't be moved into itself")
    value = _get(document, source)
    return _add(_remove(document, source), target, value)


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for token in path:
        document = document[_step(document, token)]
    return document


def _step(node: Any, token: str) -> Any:
    """The key or index of a child that exists."""
    if isinstance(node, Mapping):
        if token not in node:
            raise _CannotApply(f"there is no {token!r}")
        return token
    if isinstance(node, list):
        index = _index(token)
        if index >= len(node):
            raise _CannotApply(f"index {index} is beyond the end of a list of {len(node)}")
        return index
    raise _CannotApply(f"{token!r} is looked up in what is neither object nor list")


def _index(token: str) -> int:
    if not token.isascii() or not token.isdigit() or (token[0] == "0" and token != "0"):
        raise _CannotApply(f"{token!r} is no index of a list")
    return int(token)


def _add(node: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    token, rest = path[0], path[1:]
    if rest:
        return _with_child(node, _step(node, token), lambda child: _add(child, rest, value))
    if isinstance(node, Mapping):
        return {**node, token: value}
    if not isinstance(node, list):
        raise _CannotApply(f"{token!r} is added to what is neither object nor list")
    index = len(node) if token == "-" else _index(token)
    if index > len(node):
        raise _CannotApply(f"index {index} is beyond the end of a list of {len(node)}")
    return [*node[:index], value, *node[index:]]


def _remove(node: Any, path: list[str]) -> Any:
    if not path:
        raise _CannotApply("the whole document can't be removed")
    step, rest = _step(node, path[0]), path[1:]
    if rest:
        return _with_child(node, step, lambda child: _remove(child, rest))
    if isinstance(node, Mapping):
        return {key: value for key, value in node.items() if key != step}
    return [*node[:step], *node[step + 1 :]]


def _with_child(node: Any, step: Any, change: Any) -> Any:
    if isinstance(node, Mapping):
        return {**node, step: change(node[step])}
    return [*node[:step], change(node[step]), *node[step + 1 :]]


def equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return (type(left) is type(right) and left == right) or (_is_number(left) and _is_number(right) and left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
