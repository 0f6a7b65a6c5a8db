"""What an applier named last time and does not name now goes, unless somebody else owns it (`merge.Updater.prune`)."""

from typing import Any

from orch.managed.extract import extract, with_named_fields
from orch.managed.merge import without
from orch.managed.schema import Record
from orch.managed.sets import FieldSet, contains, difference, intersection, union


def prune(merged: dict[str, Any], last: FieldSet, owned: FieldSet, root: Record) -> dict[str, Any]:
    """`last` is what the applier owned before, `owned` what all managers own now, the applier's new set included."""
    if contains(owned, last):
        return merged
    everything, named_last = _named_fields(merged, root), with_named_fields(last, root)
    left = _without(merged, named_last, root)
    kept = union(_named_fields(left, root), with_named_fields(owned, root))
    left = _without(merged, difference(everything, kept), root)
    # What lay below a removed item and was never the applier's stays.
    gone = intersection(difference(everything, _named_fields(left, root)), named_last)
    return _without(merged, gone, root)


def _named_fields(plain: dict[str, Any], root: Record) -> FieldSet:
    return with_named_fields(extract(plain, root), root)


def _without(plain: dict[str, Any], fields: FieldSet, root: Record) -> dict[str, Any]:
    return without(plain, fields, root) or {}
