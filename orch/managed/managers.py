"""metadata.managedFields: what a write makes of the entries (managedfields and `merge.Updater` of Kubernetes).

Invariant: one entry per manager, operation, apiVersion and subresource (appliers: whatever the apiVersion); none is
empty; appliers come first, then by time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from orch.api.meta import ManagedFieldsEntry
from orch.managed import sets
from orch.managed.compare import Comparison
from orch.managed.elements import path_text
from orch.managed.sets import FieldSet

APPLY, UPDATE = "Apply", "Update"
FIELDS_TYPE = "FieldsV1"
BEFORE_FIRST_APPLY = "before-first-apply"
ANCIENT_CHANGES = "ancient-changes"
UPDATE_ENTRIES_MAX = 10

Entries = tuple[ManagedFieldsEntry, ...]


Elsewhere = Mapping[str, Comparison]
"""apiVersion -> what a write changes, in the paths of that form of the object: entries keep the paths of theirs."""
NOWHERE: Elsewhere = {}


class FieldConflict(NamedTuple):
    """A field that an apply would change and another manager owns."""

    manager: str
    """In the words of a message: `"kubectl" using apps/v1`."""
    path: str


def entry_of(manager: str, operation: str, api_version: str, subresource: str = "") -> ManagedFieldsEntry:
    """An entry without fields: says who writes."""
    return ManagedFieldsEntry(
        manager=manager,
        operation=operation,
        api_version=api_version,
        subresource=subresource or None,
        fields_type=FIELDS_TYPE,
    )


def is_reset(entries: Entries | None) -> bool:
    """A client asks that nothing be known of managers by sending one empty entry."""
    return entries == (ManagedFieldsEntry(),)


def read(entries: Entries | None) -> Entries:
    """Entries that a client sent, as the server writes them. Raises ValueError for what are none."""
    found: list[ManagedFieldsEntry] = []
    for entry in entries or ():
        if entry.operation not in (APPLY, UPDATE) or entry.fields_type != FIELDS_TYPE or not entry.api_version:
            raise ValueError("an entry needs an operation, an apiVersion and the type FieldsV1")
        fields = sets.parse(entry.fields_v1)
        same = next((index for index, other in enumerate(found) if _is_same(other, entry)), None)
        if same is not None:
            fields = sets.union(sets.decode(found.pop(same).fields_v1), fields)
        if fields:
            found.append(_with(entry, fields))
    return _sorted(found)


def after_update(
    entries: Entries, found: Comparison, writer: ManagedFieldsEntry, now: datetime, elsewhere: Elsewhere = NOWHERE
) -> Entries:
    """Entries after a write that changed what `found` says; a writer without a manager leaves no entry."""
    if not found.changed and not found.removed:
        return entries
    touched = _touched(found)
    own: ManagedFieldsEntry | None = None
    kept = []
    for entry in entries:
        if _is_same(entry, writer):
            own = entry
        elif (rest := _less(entry, _touched(_seen_by(entry, found, elsewhere)))) is not None:
            kept.append(rest)
    mine = _grown(own, found, touched, writer, now)
    return _sorted(_capped([*kept, *([mine] if mine is not None else [])]))


def _grown(
    own: ManagedFieldsEntry | None, found: Comparison, touched: FieldSet, writer: ManagedFieldsEntry, now: datetime
) -> ManagedFieldsEntry | None:
    if own is None:
        return replace(_with(writer, found.changed), time=now) if found.changed and writer.manager else None
    before = sets.decode(own.fields_v1)
    if not found.changed:
        return _less(own, touched)
    if not found.removed and sets.contains(before, found.changed):
        return replace(own, time=now)
    fields = sets.union(sets.difference(before, touched), found.changed)
    return replace(_with(own, fields), time=now)


def after_apply(
    entries: Entries,
    fields: FieldSet,
    found: Comparison,
    applier: ManagedFieldsEntry,
    now: datetime,
    elsewhere: Elsewhere = NOWHERE,
) -> Entries:
    """Entries after an apply that names `fields`; others lose what changed. The caller has asked for conflicts."""
    own = owned_by(entries, applier)
    others = [entry for entry in entries if not _is_same(entry, applier)]
    left = (_less(entry, _touched(_seen_by(entry, found, elsewhere))) for entry in others)
    kept = [rest for rest in left if rest is not None]
    if not fields:
        return _sorted(kept)
    unchanged = own is not None and not _touched(found) and sets.decode(own.fields_v1) == fields
    if own is not None and unchanged and own.api_version == applier.api_version:
        return _sorted([own, *kept])
    return _sorted([replace(_with(applier, fields), time=now), *kept])


def conflicts(
    entries: Entries, found: Comparison, applier: ManagedFieldsEntry, elsewhere: Elsewhere = NOWHERE
) -> list[FieldConflict]:
    """Every field that the apply would change and that another manager owns, by manager."""
    return [
        FieldConflict(_shown(entry), path_text(path))
        for entry in sorted(entries, key=_shown)
        if not _is_same(entry, applier)
        for path in sets.paths(
            sets.intersection(sets.decode(entry.fields_v1), _seen_by(entry, found, elsewhere).changed)
        )
    ]


def owned_by(entries: Entries, writer: ManagedFieldsEntry) -> ManagedFieldsEntry | None:
    return next((entry for entry in entries if _is_same(entry, writer)), None)


def by_version(entries: Sequence[ManagedFieldsEntry]) -> dict[str, FieldSet]:
    """apiVersion -> what the entries of that version name."""
    result: dict[str, FieldSet] = {}
    for entry in entries:
        version = entry.api_version or ""
        result[version] = sets.union(result.get(version, sets.LEAF), sets.decode(entry.fields_v1))
    return result


def same_but_times(one: Entries | None, other: Entries | None) -> bool:
    return [replace(entry, time=None) for entry in one or ()] == [replace(entry, time=None) for entry in other or ()]


def _seen_by(entry: ManagedFieldsEntry, found: Comparison, elsewhere: Elsewhere) -> Comparison:
    return elsewhere.get(entry.api_version or "", found)


def _touched(found: Comparison) -> FieldSet:
    return sets.union(found.changed, found.removed)


def _is_same(one: ManagedFieldsEntry, other: ManagedFieldsEntry) -> bool:
    return (
        one.manager == other.manager
        and one.operation == other.operation
        and (one.subresource or None) == (other.subresource or None)
        and (one.operation == APPLY or one.api_version == other.api_version)
    )


def _less(entry: ManagedFieldsEntry, touched: FieldSet) -> ManagedFieldsEntry | None:
    """The entry without the fields that were touched; None when nothing is left."""
    fields = sets.decode(entry.fields_v1)
    if sets.is_disjoint(touched, fields):
        return entry
    rest = sets.difference(fields, touched)
    return _with(entry, rest) if rest else None


def _with(entry: ManagedFieldsEntry, fields: FieldSet) -> ManagedFieldsEntry:
    return replace(entry, fields_v1=sets.encode(fields))


def _capped(entries: list[ManagedFieldsEntry]) -> list[ManagedFieldsEntry]:
    """Of many updaters the oldest become one entry per apiVersion, `ancient-changes`."""
    updaters = sorted((entry for entry in entries if entry.operation == UPDATE), key=_by_time)
    excess = len(updaters) - UPDATE_ENTRIES_MAX
    if excess <= 0:
        return entries
    kept = [entry for entry in entries if entry.operation != UPDATE]
    buckets: dict[str | None, ManagedFieldsEntry] = {}
    for entry in updaters:
        first = buckets.get(entry.api_version)
        if excess <= 0:
            kept.append(entry)
        elif first is None:
            buckets[entry.api_version] = entry
        else:
            fields = sets.union(sets.decode(first.fields_v1), sets.decode(entry.fields_v1))
            ancient = entry_of(ANCIENT_CHANGES, UPDATE, entry.api_version or "")
            buckets[entry.api_version] = replace(_with(ancient, fields), time=entry.time)
            excess -= 1
    return [*kept, *buckets.values()]


def _sorted(entries: Sequence[ManagedFieldsEntry]) -> Entries:
    return tuple(sorted(entries, key=lambda entry: (entry.operation or "", *_by_time(entry))))


def _by_time(entry: ManagedFieldsEntry) -> tuple[float, str, str, str]:
    moment = entry.time.timestamp() if entry.time is not None else 0.0
    return moment, entry.manager or "", entry.api_version or "", entry.subresource or ""


def _shown(entry: ManagedFieldsEntry) -> str:
    subresource = f' with subresource "{entry.subresource}"' if entry.subresource else ""
    version = f" using {entry.api_version}" if entry.operation == UPDATE else ""
    return f'"{entry.manager}"{subresource}{version}'
