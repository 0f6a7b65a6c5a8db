"""A patch applied to an object: plain data in between, then read back as leniently or strictly as the caller asked."""

from typing import Any, TypeVar

import msgspec

from controlplane.registry import content, failures
from controlplane.registry.interface import RequestContext
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.client.client import PatchType
from orch.patch.patches import apply_patch

T = TypeVar("T", bound=Object)


def patched(
    context: RequestContext, kind: Kind[T], obj: T, patch: Any, patch_type: PatchType, field_validation: str
) -> T:
    """Raises BadRequest and Invalid. Unknown fields are refused (Strict), warned about (Warn) or dropped (Ignore)."""
    entries = None if _names_managers(patch) else obj.metadata.managed_fields
    plain = apply_patch(kind, kind.codec.to_plain(_without_managers(obj) if entries else obj), patch, patch_type)
    decoded = kind.codec.decode_lenient(plain)
    if decoded.problems and field_validation == "Strict":
        why = f"strict decoding error: {', '.join(decoded.problems)}"
        raise failures.invalid_value(kind, obj.metadata.name, "patch", patch, why)
    if field_validation == "Warn":
        for problem in decoded.problems:
            context.warn(problem)
    return content.with_metadata(decoded.obj, managed_fields=entries) if entries else decoded.obj


def _names_managers(patch: Any) -> bool:
    """Most patches do not, and sets of fields are long."""
    return b"managedFields" in msgspec.json.encode(patch)


def _without_managers(obj: T) -> T:
    return content.with_metadata(obj, managed_fields=None)
