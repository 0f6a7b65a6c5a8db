"""Strategic merge patch (apimachinery `strategicpatch`), driven by the `ListRule`s on the API types.

Lists of structs with a merge key merge item by item, sets merge as sets, all other lists are replaced. Directives:

- `$patch: replace | delete | merge` in an object or list item;
- `$retainKeys: [...]` in a union: all other keys are cleared;
- `$setElementOrder/<field>: [...]` beside a merged list: the order of the items that the patch's author knows;
- `$deleteFromPrimitiveList/<field>: [...]` beside a set.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orch.api.base import ApiStruct, ListRule
from orch.api.schema import Field, Form, fields_of
from orch.errors import BadRequest
from orch.patch.json_patch import equal

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
ORDER_PREFIX = "$setElementOrder/"
DELETE_PREFIX = "$deleteFromPrimitiveList/"

Struct = type[ApiStruct] | None
"""The type of an object; None where no types are known, which merges as JSON does."""


def apply(target: Mapping[str, Any], patch: Any, struct: Struct) -> dict[str, Any]:
    """`target` with `patch` merged in. Raises BadRequest for a patch that breaks the format."""
    if not isinstance(patch, Mapping):
        raise BadRequest("a strategic merge patch is a JSON object")
    directive = patch.get(PATCH)
    if directive == "delete":
        return {}
    if directive not in (None, "replace", "merge"):
        raise BadRequest(f"unknown patch directive {PATCH}: {directive}")
    result = {} if directive == "replace" else _retained(target, patch)
    for key in _patched_fields(patch):
        value = _merged_field(result, key, patch, field_of(struct, key))
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def field_of(struct: Struct, key: str) -> Field | None:
    return fields_of(struct).get(key) if struct is not None else None


def merge_rule(field: Field | None) -> ListRule | None:
    """The rule of a field whose list merges; None when the list is replaced as a whole."""
    if field is None or field.rule is None or not field.rule.is_list or not field.rule.merges:
        return None
    return field.rule


def item_struct(field: Field | None) -> Struct:
    """The type of the objects of a field: of a struct itself, or of a list's items."""
    if field is None:
        return None
    shape = field.shape.item if field.shape.form is Form.LIST else field.shape
    return shape.struct if shape is not None else None


def _retained(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    keys = patch.get(RETAIN_KEYS)
    if keys is None:
        return dict(target)
    given = [key for key, value in patch.items() if value is not None and not key.startswith("$")]
    if not isinstance(keys, list) or any(key not in keys for key in given):
        raise BadRequest(f"{RETAIN_KEYS} must be a list that names every key that its patch sets")
    return {key: value for key, value in target.items() if key in keys}


def _patched_fields(patch: Mapping[str, Any]) -> list[str]:
    """The fields that a patch speaks of, by name or by a directive about them."""
    names = dict.fromkeys(key for key in patch if not key.startswith("$"))
    for prefix in (ORDER_PREFIX, DELETE_PREFIX):
        names |= dict.fromkeys(key.removeprefix(prefix) for key in patch if key.startswith(prefix))
    return list(names)


def _merged_field(target: Mapping[str, Any], key: str, patch: Mapping[str, Any], field: Field | None) -> Any:
    """The new value of one field; None removes it."""
    value, found = patch.get(key), target.get(key)
    if value is None and key in patch:
        return None
    rule = merge_rule(field)
    if rule is not None:
        return _merged_list(key, found, patch, rule, item_struct(field))
    if isinstance(value, Mapping):
        return apply(found if isinstance(found, Mapping) else {}, value, item_struct(field))
    return found if value is None else value


def _merged_list(key: str, found: Any, patch: Mapping[str, Any], rule: ListRule, struct: Struct) -> list[Any]:
    before = found if isinstance(found, list) else []
    items = _list_in(patch, key)
    order = patch.get(ORDER_PREFIX + key)
    identity = _identity(rule)
    if rule.patch_key:
        after = _merged_items(key, before, items, rule.patch_key, struct)
        known = [identity(item) for item in items if item.get(PATCH) != "delete"]
    else:
        dropped = _list_in(patch, DELETE_PREFIX + key)
        after = [item for item in _unique([*before, *items]) if item not in dropped]
        known = list(items)
    if order is not None:
        known = [identity(item) for item in _list_in(patch, ORDER_PREFIX + key)]
    return _ordered(after, known, [identity(item) for item in before], identity)


def _list_in(patch: Mapping[str, Any], key: str) -> list[Any]:
    value = patch.get(key, [])
    if not isinstance(value, list):
        raise BadRequest(f"{key} in a strategic merge patch must be a list")
    return value


def _identity(rule: ListRule) -> Callable[[Any], Any]:
    """What makes an item the same item: the value of its merge key, or the scalar itself."""
    if not rule.patch_key:
        return lambda item: item
    return lambda item: item.get(rule.patch_key) if isinstance(item, Mapping) else item


def _merged_items(key: str, before: list[Any], items: list[Any], merge_key: str, struct: Struct) -> list[Any]:
    """Items with the same merge key merge, new ones are appended, `$patch: replace` drops what was there."""
    kept = [item for item in items if not (isinstance(item, Mapping) and item.get(PATCH) == "replace")]
    for item in kept:
        if not isinstance(item, Mapping) or merge_key not in item:
            raise BadRequest(f"{key}: an item of the patch does not contain the merge key {merge_key}: {item}")
    if len(kept) < len(items):
        return [apply({}, item, struct) for item in kept]
    after = list(before)
    for item in kept:
        same = [index for index, other in enumerate(after) if other.get(merge_key) == item[merge_key]]
        if item.get(PATCH) == "delete":
            after = [other for index, other in enumerate(after) if index not in same]
        elif same:
            after[same[0]] = apply(after[same[0]], item, struct)
        else:
            after.append(apply({}, item, struct))
    return after


def _unique(items: Sequence[Any]) -> list[Any]:
    return [item for index, item in enumerate(items) if item not in items[:index]]


def _ordered(items: list[Any], known: list[Any], live: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """The author's items in the author's order, the others in the live order, interleaved by the live order."""
    theirs = [item for item in items if identity(item) in known]
    theirs.sort(key=lambda item: known.index(identity(item)))
    others = [item for item in items if identity(item) not in known]
    result: list[Any] = []
    while theirs and others:
        other, author = identity(others[0]), identity(theirs[0])
        goes_first = other in live and author in live and live.index(other) < live.index(author)
        result.append((others if goes_first else theirs).pop(0))
    return [*result, *theirs, *others]


def three_way(
    original: Mapping[str, Any], modified: Mapping[str, Any], current: Mapping[str, Any], struct: Struct
) -> dict[str, Any]:
    """The patch that makes `current` say what `modified` says and drops what only `original` said (client-side apply).

    What others added to `current` stays. An empty patch means that there is nothing to do.
    """
    patch: dict[str, Any] = {key: None for key in original if key not in modified and key in current}
    for key, wanted in modified.items():
        field = field_of(struct, key)
        before, found = original.get(key), current.get(key)
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            inner = three_way(before if isinstance(before, Mapping) else {}, wanted, found, item_struct(field))
            if inner:
                patch[key] = _with_retained(inner, wanted, field)
        elif isinstance(wanted, list) and isinstance(found, list) and (rule := merge_rule(field)) is not None:
            patch |= _list_patch(key, before if isinstance(before, list) else [], wanted, found, rule, field)
        elif key not in current or not equal(wanted, found):
            patch[key] = wanted
    return patch


def _with_retained(patch: dict[str, Any], wanted: Mapping[str, Any], field: Field | None) -> dict[str, Any]:
    if field is None or field.rule is None or not field.rule.retain_keys:
        return patch
    return {RETAIN_KEYS: sorted(wanted), **patch}


def _list_patch(
    key: str, before: list[Any], wanted: list[Any], found: list[Any], rule: ListRule, field: Field | None
) -> dict[str, Any]:
    """What a patch must say of a list that merges: its items, the items or scalars to delete, and the order."""
    if not rule.patch_key:
        return _set_patch(key, before, wanted, found)
    merge_key = rule.patch_key
    if not all(_is_keyed(items, merge_key) for items in (before, wanted, found)):
        return {} if equal(wanted, found) else {key: [{PATCH: "replace"}, *wanted]}
    struct, originals = item_struct(field), {item[merge_key]: item for item in before}
    live = {item[merge_key]: item for item in found}
    names = [item[merge_key] for item in wanted]
    items = [
        patched
        for item in wanted
        if (patched := _item_patch(originals, live, item, merge_key, struct, field)) is not None
    ]
    items += [{PATCH: "delete", merge_key: name} for name in originals if name not in names and name in live]
    if not items and [name for name in live if name in names] == names:
        return {}
    return ({key: items} if items else {}) | {ORDER_PREFIX + key: [{merge_key: name} for name in names]}


def _item_patch(
    originals: Mapping[Any, Any],
    live: Mapping[Any, Any],
    item: Mapping[str, Any],
    merge_key: str,
    struct: Struct,
    field: Field | None,
) -> Mapping[str, Any] | None:
    name = item[merge_key]
    if name not in live:
        return item
    inner = three_way(originals.get(name, {}), item, live[name], struct)
    return _with_retained({merge_key: name, **inner}, item, field) if inner else None


def _is_keyed(items: list[Any], merge_key: str) -> bool:
    """Whether each item has a merge key of its own: two items may share one (a port for TCP and for UDP)."""
    keys = [item.get(merge_key) if isinstance(item, Mapping) else None for item in items]
    return None not in keys and len(set(keys)) == len(keys)


def _set_patch(key: str, before: list[Any], wanted: list[Any], found: list[Any]) -> dict[str, Any]:
    added = [item for item in wanted if item not in found]
    dropped = [item for item in before if item not in wanted and item in found]
    patch: dict[str, Any] = {key: added} if added else {}
    if dropped:
        patch[DELETE_PREFIX + key] = dropped
    if patch or [item for item in found if item in wanted] != wanted:
        patch[ORDER_PREFIX + key] = wanted
    return patch
