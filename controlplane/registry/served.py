"""Stored objects in the form in which a kind is served, where that is not the form in which they are stored.

A form is made once per revision and kept at what it was made of, so that all readers share its bytes. Kinds that are
stored as they are served pass through untouched.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from controlplane.registry.interface import Deleted, Listing, Stored, StoredEvent
from controlplane.store.objects import encode_stored, with_revision
from orch.api.causes import invalid
from orch.api.kind import Kind
from orch.api.meta import Object

T = TypeVar("T", bound=Object)


def taken(kind: Kind[T], obj: T, old: Any = None) -> Any:
    """What a client wrote in the form `kind`, as it is stored; `old` is the stored object that it replaces.

    Raises Invalid for what only this form demands, BadRequest.
    """
    if kind.stored_as is None:
        return obj
    causes = kind.validate(obj) if old is None else kind.validate_update(obj, kind.from_stored(old))
    if causes:
        raise invalid(kind.stored, obj.metadata.name, causes)
    return kind.to_stored(obj)


def shown(kind: Kind[T], stored: Stored[Any]) -> Stored[T]:
    if kind.stored_as is None:
        return stored
    return stored.form(kind.api_version, lambda source: _converted(kind, source))


def _converted(kind: Kind[T], source: Stored[Any]) -> Stored[T]:
    """A new object of a dry run has no resourceVersion."""
    obj = kind.from_stored(source.obj)
    bare = encode_stored(kind, obj)
    return Stored(obj, source.revision, with_revision(bare, source.revision) if source.revision else bare)


def shown_deletion(kind: Kind[T], deleted: Deleted[Any]) -> Deleted[T]:
    return deleted if kind.stored_as is None else Deleted(shown(kind, deleted.stored), deleted.done)


def shown_listing(kind: Kind[T], listing: Listing[Any]) -> Listing[T]:
    if kind.stored_as is None:
        return listing
    items = [shown(kind, item) for item in listing.items]
    return Listing(items, listing.revision, listing.continue_token, listing.remaining)


def shown_batches(
    kind: Kind[T], batches: AsyncIterator[Sequence[StoredEvent[Any]]]
) -> AsyncIterator[Sequence[StoredEvent[T]]]:
    return batches if kind.stored_as is None else _each_shown(kind, batches)


async def _each_shown(
    kind: Kind[T], batches: AsyncIterator[Sequence[StoredEvent[Any]]]
) -> AsyncIterator[Sequence[StoredEvent[T]]]:
    async for batch in batches:
        yield [_shown_event(kind, event) for event in batch]


def _shown_event(kind: Kind[T], event: StoredEvent[Any]) -> StoredEvent[T]:
    if (found := event.forms.get(kind.api_version)) is None:
        found = event.forms[kind.api_version] = StoredEvent(event.type, shown(kind, event.stored))
    return found
