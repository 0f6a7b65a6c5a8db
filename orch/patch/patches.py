"""One door to the patch formats: which algorithm a PATCH request of a kind runs."""

from collections.abc import Mapping
from typing import Any

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.client.client import PatchType
from orch.errors import BadRequest, UnsupportedMediaType
from orch.patch import json_patch, merge_patch, strategic_merge


def apply_patch(kind: Kind[Any], plain: Mapping[str, Any], patch: Any, patch_type: PatchType) -> dict[str, Any]:
    """The patched object as plain data.

    Raises BadRequest for a malformed patch, Invalid for one that does not fit the object, UnsupportedMediaType for a
    strategic merge of a kind without types.
    """
    match patch_type:
        case PatchType.JSON:
            result = json_patch.apply(plain, patch)
        case PatchType.MERGE:
            result = merge_patch.apply(plain, patch)
        case PatchType.STRATEGIC:
            if not isinstance(kind.codec, StructCodec):
                raise UnsupportedMediaType(f"{kind.resource} does not support strategic merge patches: it has no types")
            result = strategic_merge.apply(plain, patch, kind.codec.struct)
        case PatchType.APPLY:
            raise UnsupportedMediaType("a configuration to apply is no patch: it needs a field manager")
    if not isinstance(result, dict):
        raise BadRequest(f"a patch of a {kind.kind} must leave a JSON object")
    return result


def three_way_patch(
    kind: Kind[Any], original: Mapping[str, Any], modified: Mapping[str, Any], current: Mapping[str, Any]
) -> tuple[PatchType, dict[str, Any]]:
    """What client-side apply sends: a strategic patch where types are known, else a merge patch. Empty: no change."""
    if isinstance(kind.codec, StructCodec):
        return PatchType.STRATEGIC, strategic_merge.three_way(original, modified, current, kind.codec.struct)
    return PatchType.MERGE, merge_patch.three_way(original, modified, current)
