"""A patch applied to an object: plain data in between, then read back as leniently or strictly as the caller asked."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from controlplane.registry import content, failures
from controlplane.registry.field_validation import validated
from controlplane.registry.interface import RequestContext
from orch.api.codec import UntypedObject
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.api.schema import fields_of
from orch.client.client import PatchType
from orch.errors import BadRequest, Invalid
from orch.patch.patches import apply_patch

T = TypeVar("T", bound=Object)


def patched(
    context: RequestContext, kind: Kind[T], obj: T, patch: Any, patch_type: PatchType, field_validation: str
) -> T:
    """Raises BadRequest and Invalid. Unknown fields are refused (Strict), warned about (Warn) or dropped (Ignore).

    Parts of the object (metadata, spec, status) that the patch does not name stay the same objects: most patches touch
    one of them, and all that follows sees by identity that the others did not change.
    """
    entries = None if _names_managers(patch) else obj.metadata.managed_fields
    untouched = _untouched(type(obj), patch, patch_type)
    source = replace(obj, **dict(untouched)) if untouched else obj
    plain = apply_patch(kind, kind.codec.to_plain(_without_managers(source) if entries else source), patch, patch_type)

    def refusal(why: str) -> Invalid:
        return failures.invalid_value(kind, obj.metadata.name, "patch", patch, why)

    try:
        decoded = kind.codec.decode_lenient(plain)
    except BadRequest as error:  # Not the body is malformed: what it makes of the object is no such object.
        raise refusal(str(error)) from error
    new = validated(decoded, field_validation, context.warn, refusal)
    new = content.with_metadata(new, managed_fields=entries) if entries else new
    return replace(new, **{name: getattr(obj, name) for name, _ in untouched}) if untouched else new


def _untouched(struct: type[Object], patch: Any, patch_type: PatchType) -> list[tuple[str, Any]]:
    """The parts that the patch does not name, with what they are in an empty object. None for JSON patches, whose
    operations may test and copy, and for kinds without types."""
    if patch_type not in (PatchType.MERGE, PatchType.STRATEGIC) or issubclass(struct, UntypedObject):
        return []
    if not isinstance(patch, Mapping) or any(name.startswith("$") for name in patch):
        return []
    return [part for name, part in _parts(struct) if name not in patch]


@cache
def _parts(struct: type[Object]) -> tuple[tuple[str, tuple[str, Any]], ...]:
    """JSON name -> attribute and empty value. What every object needs to be decoded is not among them."""
    empty = struct()
    fields = fields_of(struct).items()
    kept = ("apiVersion", "kind", "metadata")
    return tuple(
        (name, (field.attribute, getattr(empty, field.attribute))) for name, field in fields if name not in kept
    )


def _names_managers(patch: Any) -> bool:
    """Most patches do not, and sets of fields are long."""
    return b"managedFields" in msgspec.json.encode(patch)


def _without_managers(obj: T) -> T:
    return content.with_metadata(obj, managed_fields=None)
