"""JSON Merge Patch (RFC 7386), and the three-way form by which `apply` patches kinds without types."""

from collections.abc import Mapping
from typing import Any

from orch.patch.json_patch import equal


def apply(target: Any, patch: Any) -> Any:
    """The patched value: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def three_way(original: Mapping[str, Any], modified: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes `current` say what `modified` says and drops what only `original` said.

    What others added to `current` stays. An empty patch means that there is nothing to do.
    """
    patch: dict[str, Any] = {key: None for key in original if key not in modified and key in current}
    for key, wanted in modified.items():
        found = current.get(key)
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            before = original.get(key)
            inner = three_way(before if isinstance(before, Mapping) else {}, wanted, found)
            if inner:
                patch[key] = inner
        elif key not in current or not equal(wanted, found):
            patch[key] = wanted
    return patch
