"""What controllers may ask for, as data, and the one function that does it. Nothing here decides.

A decision is made on caches that may lag. What must not happen on a stale view carries its own check: a resourceVersion
or uid in the write, or a `Reference` that is read afresh before the write.

Invariant: every action is safe to repeat; done twice it fails with NotFound, AlreadyExists or Conflict, or changes
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orch.api.kind import Kind
from orch.api.kinds import NAMESPACES
from orch.api.meta import DeleteOptions, Object, Preconditions
from orch.api.namespace import Namespace
from orch.client.client import Client, PatchType
from orch.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Reference:
    """An object by name; with an empty uid whichever has the name."""

    kind: Kind[Any]
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    kind: Kind[Any]
    obj: Object
    announce: Object | None = None
    """The object that gets an Event about success or failure."""


@dataclass(frozen=True, slots=True)
class Update:
    """Compare-and-swap on the resourceVersion of `obj`."""

    kind: Kind[Any]
    obj: Object
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """A strategic merge patch."""

    kind: Kind[Any]
    namespace: str
    name: str
    patch: Mapping[str, Any]
    subresource: str = ""
    alive: Reference | None = None
    """Only while this object exists and is not being deleted."""


@dataclass(frozen=True, slots=True)
class Delete:
    kind: Kind[Any]
    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    """Only this very state of the object; empty: any."""
    grace_period_s: int | None = None
    propagation: str | None = None
    absent: tuple[Reference, ...] = ()
    """Only when none of these exists."""
    announce: Object | None = None


@dataclass(frozen=True, slots=True)
class FinalizeNamespace:
    """Gives the namespace free to vanish, once a fresh look at every kind finds nothing in it."""

    namespace: Namespace
    kinds: tuple[Kind[Any], ...]


Action = Create | Update | Patch | Delete | FinalizeNamespace


@dataclass(frozen=True, slots=True)
class Announcement:
    """An Event to record."""

    about: Object
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reconcile wants. Actions are independent of each other; the status is written after they succeeded."""

    actions: tuple[Action, ...] = ()
    status: Object | None = None
    """The controller's object with its new status; None: nothing to write."""
    requeue_after_s: float | None = None
    events: tuple[Announcement, ...] = field(default=())

    def log_fields(self) -> dict[str, Any]:
        return {
            "actions": [type(action).__name__ for action in self.actions],
            "status": self.status is not None,
            "requeue_after_s": self.requeue_after_s,
        }


NOTHING = Decision()


async def perform(client: Client, action: Action) -> Object | None:
    """The object as written; None when the write returns none. Raises ApiError."""
    written: Object | None = None
    match action:
        case Create():
            written = await client.create(action.kind, action.obj)
        case Update():
            written = await client.update(action.kind, action.obj, subresource=action.subresource)
        case Patch():
            written = await _patch(client, action)
        case Delete():
            await _delete(client, action)
        case FinalizeNamespace():
            written = await _finalize(client, action)
    return written


async def _patch(client: Client, action: Patch) -> Object:
    if action.alive is not None:
        await _require_alive(client, action.alive)
    patched: Object = await client.patch(
        action.kind,
        action.name,
        action.namespace,
        action.patch,
        patch_type=PatchType.STRATEGIC,
        subresource=action.subresource,
    )
    return patched


async def _delete(client: Client, action: Delete) -> None:
    for reference in action.absent:
        found = await _read(client, reference)
        if found is not None:
            raise Conflict(f"{reference.kind.kind} {reference.name!r} exists after all")
    options = DeleteOptions(
        preconditions=Preconditions(uid=action.uid, resource_version=action.resource_version or None),
        grace_period_seconds=action.grace_period_s,
        propagation_policy=action.propagation,
    )
    try:
        await client.delete(action.kind, action.name, action.namespace, options=options)
    except NotFound:
        return


async def _finalize(client: Client, action: FinalizeNamespace) -> Object:
    name = action.namespace.metadata.name
    for kind in action.kinds:
        page = await client.list(kind, name, limit=1)
        if page.items:
            raise Conflict(f"namespace {name!r} still holds {kind.resource} {page.items[0].metadata.name!r}")
    return await client.update(NAMESPACES, action.namespace, subresource="finalize")


async def _require_alive(client: Client, reference: Reference) -> None:
    found = await _read(client, reference)
    if found is None or found.metadata.deletion_timestamp is not None:
        raise Conflict(f"{reference.kind.kind} {reference.name!r} is gone or being deleted")


async def _read(client: Client, reference: Reference) -> Object | None:
    """Afresh, not from a cache; None also when another object has taken the name."""
    try:
        found: Object = await client.get(reference.kind, reference.name, reference.namespace)
    except NotFound:
        return None
    return found if reference.uid in ("", found.metadata.uid) else None
