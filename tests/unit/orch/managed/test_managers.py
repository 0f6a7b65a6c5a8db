"""What writes make of the entries of metadata.managedFields."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from orch.api.meta import ManagedFieldsEntry
from orch.managed import sets
from orch.managed.compare import Comparison
from orch.managed.managers import (
    ANCIENT_CHANGES,
    APPLY,
    UPDATE,
    UPDATE_ENTRIES_MAX,
    Entries,
    after_apply,
    after_update,
    conflicts,
    entry_of,
    is_reset,
    read,
    same_but_times,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
A, B = {"f:spec": {"f:a": {}}}, {"f:spec": {"f:b": {}}}
AB = sets.union(A, B)


def by(manager: str, fields: sets.FieldSet, operation: str = UPDATE, subresource: str = "") -> ManagedFieldsEntry:
    return replace(entry_of(manager, operation, "apps/v1", subresource), fields_v1=sets.encode(fields), time=NOW)


def summary(entries: Entries) -> list[tuple[str | None, str | None, list[str]]]:
    return [(entry.manager, entry.operation, list(sets.shown(sets.decode(entry.fields_v1)))) for entry in entries]


def test_what_somebody_changes_is_theirs_alone() -> None:
    after = after_update((by("one", AB),), Comparison(A), entry_of("two", UPDATE, "apps/v1"), LATER)
    assert summary(after) == [("one", UPDATE, [".spec.b"]), ("two", UPDATE, [".spec.a"])]
    assert [entry.time for entry in after] == [NOW, LATER]


def test_the_last_field_taken_ends_an_entry() -> None:
    after = after_update((by("one", A), by("two", B)), Comparison(A), entry_of("two", UPDATE, "apps/v1"), LATER)
    assert summary(after) == [("two", UPDATE, [".spec.a", ".spec.b"])]


def test_removed_fields_are_nobodys() -> None:
    after = after_update(
        (by("one", AB), by("two", A)), Comparison(removed=A), entry_of("two", UPDATE, "apps/v1"), LATER
    )
    assert summary(after) == [("one", UPDATE, [".spec.b"])]


def test_a_write_without_a_manager_leaves_no_entry() -> None:
    after = after_update((by("one", AB),), Comparison(A), entry_of("", UPDATE, "apps/v1"), LATER)
    assert summary(after) == [("one", UPDATE, [".spec.b"])]


def test_nothing_changed_nothing_written() -> None:
    entries = (by("one", A),)
    assert after_update(entries, Comparison(), entry_of("two", UPDATE, "apps/v1"), LATER) is entries
    assert after_apply(entries, A, Comparison(), entry_of("x", APPLY, "apps/v1"), LATER)[1:] == entries


def test_subresources_and_operations_are_managers_of_their_own() -> None:
    entries = after_update((by("one", A),), Comparison(B), entry_of("one", UPDATE, "apps/v1", "status"), LATER)
    entries = after_apply(entries, A, Comparison(), entry_of("one", APPLY, "apps/v1"), LATER)
    assert [(entry.operation, entry.subresource) for entry in entries] == [
        (APPLY, None),
        (UPDATE, None),
        (UPDATE, "status"),
    ]


def test_an_apply_sets_what_its_manager_owns() -> None:
    applier = entry_of("me", APPLY, "apps/v1")
    entries = after_apply((by("me", AB, APPLY), by("one", B)), A, Comparison(), applier, LATER)
    assert summary(entries) == [("me", APPLY, [".spec.a"]), ("one", UPDATE, [".spec.b"])]
    assert after_apply(entries, A, Comparison(), applier, LATER + timedelta(1)) == entries
    assert summary(after_apply(entries, {}, Comparison(), applier, LATER)) == [("one", UPDATE, [".spec.b"])]


def test_conflicts_name_others_and_fields() -> None:
    entries = (by("me", AB, APPLY), by("ctl", A), by("you", AB, APPLY), by("hpa", A, UPDATE, "scale"))
    found = conflicts(entries, Comparison(A), entry_of("me", APPLY, "apps/v1"))
    assert [tuple(conflict) for conflict in found] == [
        ('"ctl" using apps/v1', ".spec.a"),
        ('"hpa" with subresource "scale" using apps/v1', ".spec.a"),
        ('"you"', ".spec.a"),
    ]


def test_many_updaters_become_ancient_changes() -> None:
    entries: Entries = ()
    for number in range(UPDATE_ENTRIES_MAX + 3):
        changed = {"f:spec": {f"f:x{number:02}": {}}}
        moment = NOW + timedelta(seconds=number)
        entries = after_update(entries, Comparison(changed), entry_of(f"m{number}", UPDATE, "v1"), moment)
    assert len(entries) == UPDATE_ENTRIES_MAX
    assert entries[0].manager == ANCIENT_CHANGES
    assert list(sets.shown(sets.decode(entries[0].fields_v1))) == [f".spec.x{number:02}" for number in range(4)]
    assert entries[-1].manager == f"m{UPDATE_ENTRIES_MAX + 2}"


def test_entries_that_a_client_sends_are_read_and_joined() -> None:
    twice = read((by("one", A), by("two", A), by("one", B)))
    assert summary(twice) == [("one", UPDATE, [".spec.a", ".spec.b"]), ("two", UPDATE, [".spec.a"])]
    assert read((by("one", {}),)) == ()
    for wrong in (replace(by("one", A), operation="Own"), replace(by("one", A), fields_type="FieldsV2")):
        with pytest.raises(ValueError, match="an entry needs"):
            read((wrong,))


def test_a_reset_is_one_empty_entry() -> None:
    assert is_reset((ManagedFieldsEntry(),))
    assert not is_reset(())
    assert not is_reset((by("one", A),))
    assert same_but_times((by("one", A),), (replace(by("one", A), time=LATER),))
    assert not same_but_times((by("one", A),), (by("one", B),))
