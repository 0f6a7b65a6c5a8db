"""What an apply takes away, where entries of metadata.managedFields are of several versions of a kind. Pure.

As `merge.Updater.prune` of structured-merge-diff: fields go in the form of the applier's last entry, whose paths it
has; what others own is brought back in the form of each one's entry.
"""

from collections.abc import Mapping
from typing import Any

from orch.api.kind import Kind, KindTable
from orch.api.meta import ManagedFieldsEntry
from orch.managed import sets
from orch.managed.extract import extract
from orch.managed.prune import prune
from orch.managed.schema import whole
from orch.managed.sets import FieldSet

Plain = dict[str, Any]


def pruned(
    kind: Kind[Any], merged: Plain, last: ManagedFieldsEntry, owned: Mapping[str, FieldSet], kinds: KindTable
) -> Plain:
    """`merged` without what `last` had and nobody owns now. `owned`: apiVersion -> what managers own in that form, the
    applier's new set included; versions that are served no more own nothing."""
    form = _form(kind, last.api_version or "", kinds) or kind
    present = _shown(merged, kind, form)
    left = prune(present, sets.decode(last.fields_v1), owned.get(form.api_version, sets.LEAF), whole(form))
    for version in sorted(owned.keys() - {form.api_version}):
        if (other := _form(kind, version, kinds)) is not None:
            before, after, root = _shown(present, form, other), _shown(left, form, other), whole(other)
            gone = sets.difference(extract(before, root), extract(after, root))
            left = _shown(prune(before, gone, owned[version], root), other, form)
    return _shown(left, form, kind)


def _form(kind: Kind[Any], api_version: str, kinds: KindTable) -> Kind[Any] | None:
    if api_version == kind.api_version:
        return kind
    found = kinds.by_kind(api_version, kind.kind)
    return found if found is not None and found.stored is kind.stored else None


def _shown(plain: Plain, kind: Kind[Any], form: Kind[Any]) -> Plain:
    """An object of `kind` as one of `form`, another version of it. Raises BadRequest."""
    if form is kind:
        return plain
    return form.codec.to_plain(form.from_stored(kind.to_stored(kind.codec.from_plain(plain))))
