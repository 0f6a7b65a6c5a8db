"""A patch applied to an object: plain data in between, then read back as leniently or strictly as the caller asked."""

from typing import Any, TypeVar

from controlplane.registry import failures
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
    plain = apply_patch(kind, kind.codec.to_plain(obj), patch, patch_type)
    decoded = kind.codec.decode_lenient(plain)
    if decoded.problems and field_validation == "Strict":
        why = f"strict decoding error: {', '.join(decoded.problems)}"
        raise failures.invalid_value(kind, obj.metadata.name, "patch", patch, why)
    if field_validation == "Warn":
        for problem in decoded.problems:
            context.warn(problem)
    return decoded.obj
