"""What a write makes of metadata.managedFields, and what an applied configuration makes of an object. Pure.

Follows the field managers of apimachinery `managedfields`: they see the object that the client wrote, with defaults but
before admission and allocations, so that nobody owns what only the server decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from controlplane.registry import content
from controlplane.registry.pruning import pruned
from orch.api.kind import Kind, KindTable
from orch.api.meta import ManagedFieldsEntry, Object
from orch.errors import BadRequest, Cause, Conflict
from orch.kit.clock import whole_seconds
from orch.managed import managers, sets
from orch.managed.compare import Comparison, compare_objects
from orch.managed.extract import extract
from orch.managed.managers import (
    APPLY,
    BEFORE_FIRST_APPLY,
    NOWHERE,
    UPDATE,
    Elsewhere,
    Entries,
    FieldConflict,
    entry_of,
)
from orch.managed.merge import merge
from orch.managed.new_fields import empty, new_fields
from orch.managed.schema import Record, tracked, whole
from orch.managed.sets import FieldSet

T = TypeVar("T", bound=Object)

KUBECTL = "kubectl"
"""The manager of `kubectl apply --server-side`: it may take over what it applied on the client's side before."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CONFLICT_REASON = "FieldManagerConflict"


@dataclass(frozen=True, slots=True)
class Application:
    """One apply request. `config` is checked plain data of the kind (`apply_config.read`)."""

    config: Mapping[str, Any]
    manager: str
    force: bool = False
    subresource: str = ""


def created(kind: Kind[T], obj: T, manager: str, now: datetime) -> T:
    """A new object with its first entry; entries that the client sent along are kept. Without a manager: none."""
    entries = _asked_for(obj.metadata.managed_fields, ())
    if manager:
        entries = _after_creation(kind, obj, entries, entry_of(manager, UPDATE, kind.api_version), whole_seconds(now))
    return content.with_metadata(obj, managed_fields=entries or None)


def _after_creation(kind: Kind[T], obj: T, entries: Entries, writer: ManagedFieldsEntry, now: datetime) -> Entries:
    root = tracked(kind)
    if entries:
        return managers.after_update(entries, compare_objects(empty(type(obj)), obj, root), writer, now)
    fields = new_fields(obj, root)
    return (msgspec.structs.replace(writer, fields_v1=fields, time=now),) if fields else ()


def updated(kind: Kind[T], new: T, old: T, subresource: str, manager: str, now: datetime, *, kinds: KindTable) -> T:
    """`new` with the entries that the write leaves. An object of which nothing is known stays so until it is applied.

    Without a manager the write leaves no entry of its own.
    """
    live = old.metadata.managed_fields or ()
    entries = live if subresource else _asked_for(new.metadata.managed_fields, live)
    if entries and (manager or any(entry.subresource == subresource for entry in entries)):
        found = compare_objects(old, new, tracked(kind, subresource))
        writer = entry_of(manager, UPDATE, kind.api_version, subresource)
        elsewhere = _elsewhere(kind, old, new, entries, subresource, kinds)
        entries = managers.after_update(entries, found, writer, whole_seconds(now), elsewhere)
    return content.with_metadata(new, managed_fields=entries or None)


def _elsewhere(kind: Kind[T], old: T, new: T, entries: Entries, subresource: str, kinds: KindTable) -> Elsewhere:
    """What the write changes in the other forms of the object that entries are of, as `merge.Updater` compares."""
    found: dict[str, Comparison] = {}
    for api_version in {entry.api_version or "" for entry in entries} - {kind.api_version}:
        form = kinds.by_kind(api_version, kind.kind)
        if form is not None and form.stored is kind.stored:
            before, after = (form.from_stored(kind.to_stored(obj)) for obj in (old, new))
            found[api_version] = compare_objects(before, after, tracked(form, subresource))
    return found


def _asked_for(sent: Entries | None, live: Entries) -> Entries:
    """A client may write managedFields. None, and what is not understood, leave them as they are."""
    if not sent or sent == live:
        return live
    if managers.is_reset(sent):
        return ()
    try:
        return managers.read(sent) or live
    except ValueError:
        return live


def applied(kind: Kind[T], old: T | None, application: Application, now: datetime, *, kinds: KindTable) -> T:
    """The object that the configuration makes of `old`. Raises Conflict, naming every field that others own."""
    now = whole_seconds(now)
    part = tracked(kind, application.subresource)
    applier = entry_of(application.manager, APPLY, kind.api_version, application.subresource)
    entries = _entries_before(kind, old, part, application.subresource, now)
    fields = extract(application.config, part)
    new = kind.set_defaults(_merged(kind, old, application.config, fields, entries, applier, part, kinds))
    found = compare_objects(old or empty(type(new)), new, part)
    elsewhere = _elsewhere(kind, old, new, entries, application.subresource, kinds) if old is not None else NOWHERE
    if not application.force and old is not None:
        _refuse_conflicts(kind, old, managers.conflicts(entries, found, applier, elsewhere), part, application.manager)
    entries = managers.after_apply(entries, fields, found, applier, now, elsewhere)
    if application.manager == KUBECTL and LAST_APPLIED in (new.metadata.annotations or {}):
        new = _with_last_applied(new, application.config)
    return content.with_metadata(new, managed_fields=entries or None)


def _entries_before(kind: Kind[T], old: T | None, part: Record, subresource: str, now: datetime) -> Entries:
    """What is there at the first apply and has no manager belongs to `before-first-apply`."""
    if old is None:
        return ()
    if old.metadata.managed_fields:
        return old.metadata.managed_fields
    found = compare_objects(empty(type(old)), old, part)
    return managers.after_update((), found, entry_of(BEFORE_FIRST_APPLY, UPDATE, kind.api_version, subresource), now)


def _merged(
    kind: Kind[T],
    old: T | None,
    config: Mapping[str, Any],
    fields: FieldSet,
    entries: Entries,
    applier: ManagedFieldsEntry,
    part: Record,
    kinds: KindTable,
) -> T:
    root = whole(kind)
    live = {} if old is None else kind.codec.to_plain(content.with_metadata(old, managed_fields=None))
    wanted = {name: value for name, value in config.items() if name == "metadata" or part.node_of(name) is not None}
    last = managers.owned_by(entries, applier)
    merged = merge(live, wanted, root)
    if last is not None:
        owned = managers.by_version([entry for entry in entries if entry is not last])
        owned[kind.api_version] = sets.union(fields, owned.get(kind.api_version, sets.LEAF))
        merged = pruned(kind, merged, last, owned, kinds)
    return kind.codec.from_plain(merged)


def _refuse_conflicts(kind: Kind[T], old: T, found: list[FieldConflict], part: Record, manager: str) -> None:
    """Raises Conflict."""
    if found and manager == KUBECTL:
        allowed = frozenset(sets.shown(_unchanged_since_applied(kind, old, part)))
        found = [conflict for conflict in found if conflict.path not in allowed]
    if found:
        causes = [Cause(CONFLICT_REASON, f"conflict with {one.manager}", one.path) for one in found]
        raise Conflict(conflict_message(found), causes=causes)


def conflict_message(found: list[FieldConflict]) -> str:
    if len(found) == 1:
        return f"Apply failed with 1 conflict: conflict with {found[0].manager}: {found[0].path}"
    by_manager: dict[str, list[str]] = {}
    for conflict in found:
        by_manager.setdefault(conflict.manager, []).append(f"- {conflict.path}")
    texts = [f"conflicts with {manager}:\n" + "\n".join(paths) for manager, paths in sorted(by_manager.items())]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(texts)


def _unchanged_since_applied(kind: Kind[T], live: T, part: Record) -> FieldSet:
    """What kubectl applied on the client's side and nobody changed since (`allowedConflictsFromLastApplied`)."""
    text = (live.metadata.annotations or {}).get(LAST_APPLIED, "")
    try:
        last = kind.set_defaults(kind.codec.decode_lenient(text.encode()).obj)
    except BadRequest:
        return sets.LEAF
    fields = extract(kind.codec.to_plain(last), part)
    return sets.difference(fields, compare_objects(live, last, part).changed)


def _with_last_applied(obj: T, config: Mapping[str, Any]) -> T:
    """Keeps the annotation true, for a client that goes back to applying by itself."""
    metadata = dict(config.get("metadata") or {})
    metadata["annotations"] = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    text = msgspec.json.encode({**config, "metadata": metadata}, order="sorted").decode() + "\n"
    return content.with_metadata(obj, annotations={**(obj.metadata.annotations or {}), LAST_APPLIED: text})
