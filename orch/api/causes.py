"""Collects the reasons why an object is refused, in Kubernetes' wording (field.ErrorList of apimachinery)."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from orch.api.kind import Kind
from orch.errors import Cause, Invalid


class Causes:
    """A list of causes that grows while an object is looked at. A path is written as `spec.containers[0].image`."""

    def __init__(self) -> None:
        self.found: list[Cause] = []

    def required(self, path: str, detail: str = "") -> None:
        self._add("FieldValueRequired", path, "Required value", detail)

    def invalid(self, path: str, value: Any, detail: str) -> None:
        self._add("FieldValueInvalid", path, f"Invalid value: {_shown(value)}", detail)

    def not_supported(self, path: str, value: Any, supported: Sequence[str]) -> None:
        values = ", ".join(f'"{choice}"' for choice in sorted(supported))
        self._add("FieldValueNotSupported", path, f"Unsupported value: {_shown(value)}", f"supported values: {values}")

    def duplicate(self, path: str, value: Any) -> None:
        self._add("FieldValueDuplicate", path, f"Duplicate value: {_shown(value)}")

    def not_found(self, path: str, value: Any) -> None:
        self._add("FieldValueNotFound", path, f"Not found: {_shown(value)}")

    def forbidden(self, path: str, detail: str) -> None:
        self._add("FieldValueForbidden", path, "Forbidden", detail)

    def too_long(self, path: str, max_bytes: int) -> None:
        self._add("FieldValueTooLong", path, "Too long", f"may not be more than {max_bytes} bytes")

    def too_many(self, path: str, count: int, max_items: int) -> None:
        self._add("FieldValueTooMany", path, f"Too many: {count}", f"must have at most {max_items} items")

    # Shorthands for the checks that occur most.

    def check(self, path: str, value: str, problem: str) -> None:
        """Invalid when there is a problem (as the functions of `orch.api.formats` give it)."""
        if problem:
            self.invalid(path, value, problem)

    def one_of(self, path: str, value: str | None, supported: Sequence[str]) -> None:
        """Required when empty, else one of `supported`."""
        if not value:
            self.required(path)
        elif value not in supported:
            self.not_supported(path, value, supported)

    def maybe_one_of(self, path: str, value: str | None, supported: Sequence[str]) -> None:
        if value and value not in supported:
            self.not_supported(path, value, supported)

    def not_negative(self, path: str, value: int | None) -> None:
        if value is not None and value < 0:
            self.invalid(path, value, "must be greater than or equal to 0")

    def between(self, path: str, value: int | None, low: int, high: int) -> None:
        if value is not None and not low <= value <= high:
            self.invalid(path, value, f"must be between {low} and {high}, inclusive")

    def immutable(self, path: str, new: Any, old: Any) -> None:
        if new != old:
            self.invalid(path, new, "field is immutable")

    def _add(self, reason: str, path: str, what: str, detail: str = "") -> None:
        self.found.append(Cause(reason, f"{what}: {detail}" if detail else what, path))


def invalid(kind: Kind[Any], name: str, causes: Sequence[Cause]) -> Invalid:
    """The 422 for an object: `Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be ...`."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    detail = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    subject = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return Invalid(
        f'{subject} "{name}" is invalid: {detail}', group=kind.group, kind=kind.kind, name=name, causes=causes
    )


def _shown(value: Any) -> str:
    """As JSON: "text", 5, {"app":"web"}."""
    if value is None:
        return "null"
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), ensure_ascii=False)
