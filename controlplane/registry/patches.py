"""A patch applied to an object: plain data in between, then read back as leniently or strictly as the caller asked."""

from collections.abc import Mapping
from typing import Any, TypeVar

from controlplane.registry import failures
from controlplane.registry.interface import RequestContext
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.client.client import PatchType
from orch.errors import UnsupportedMediaType

T = TypeVar("T", bound=Object)


def patched(
    context: RequestContext, kind: Kind[T], obj: T, patch: Any, patch_type: PatchType, field_validation: str
) -> T:
    """Raises BadRequest and Invalid. Unknown fields are refused (Strict), warned about (Warn) or dropped (Ignore)."""
    plain = _apply(kind, kind.codec.to_plain(obj), patch, patch_type)
    decoded = kind.codec.decode_lenient(plain)
    if decoded.problems and field_validation == "Strict":
        why = f"strict decoding error: {', '.join(decoded.problems)}"
        raise failures.invalid(kind, obj.metadata.name, [failures.invalid_value("patch", "", why)])
    if field_validation == "Warn":
        for problem in decoded.problems:
            context.warn(problem)
    return decoded.obj


def _apply(kind: Kind[Any], plain: dict[str, Any], patch: Any, patch_type: PatchType) -> Any:
    if patch_type is PatchType.MERGE:
        return _merged(plain, patch)
    raise UnsupportedMediaType(str(patch_type))


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
