"""The store below everything: ordered keys, revisions, compare-and-swap, watch. Semantics are etcd v3's.

Two implementations, `memory.py` (the reference) and `etcd.py`, pass one contract suite (tests/contract). Values are
opaque bytes here; objects, caches and encryption live above. One transaction that writes is one revision.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from orch.errors import OrchError


class StoreError(OrchError):
    """The store failed; the outcome of a write is unknown."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or has no quorum; retrying may help."""


class Compacted(StoreError):
    """The revision asked for is older than the history that is kept."""

    def __init__(self, message: str, compact_revision: int = 0) -> None:
        super().__init__(message)
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The revision asked for is newer than the store's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. `mod_revision` is the revision of its last write, `create_revision` of its creation."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in key order at `revision`; `more` says whether keys remain, `remaining` how many."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool = False
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of a transaction: the key's mod_revision (0: the key must not exist) or create_revision equals."""

    key: str
    mod_revision: int | None = None
    create_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction happened, at `revision`."""

    revision: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A guard did not hold. `current` are the entries of the guarded keys (None: absent), in the guards' order."""

    revision: int
    current: tuple[Entry | None, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one key. `entry` is None for a delete; `previous` is the entry before, None for a creation."""

    key: str
    revision: int
    entry: Entry | None
    previous: Entry | None


@dataclass(frozen=True, slots=True)
class Changes:
    """A step of a watch: the changes up to and including `revision`, never half a transaction."""

    revision: int
    changes: tuple[Change, ...]


class Backend(Protocol):
    """Every call may raise StoreError. Keys are text, ordered by their UTF-8 bytes."""

    async def get(self, key: str, *, revision: int = 0) -> tuple[Entry | None, int]:
        """The entry and the store's revision; `revision` 0 is the newest state, linearizable."""

    async def range(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Keys under `prefix` greater than `start_after`. Raises Compacted, FutureRevision."""

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed | Refused:
        """All writes at one revision if all guards hold, else none."""

    async def revision(self) -> int:
        """The current revision, linearizable."""

    def watch(self, prefix: str, *, start_revision: int) -> AbstractAsyncContextManager[AsyncIterator[Changes]]:
        """Changes from `start_revision` on, in order, none lost. Entering it raises Compacted when it is too old, and
        so may an iteration; a lost connection ends it with StoreUnavailable."""

    async def compact(self, revision: int) -> None:
        """Drops history below `revision`; the newest value of each key stays."""

    async def grant_lease(self, ttl_s: int) -> int:
        """A new lease; keys put with it vanish when it expires."""

    async def keep_lease(self, lease: int) -> int:
        """Renews; the remaining seconds, 0 if the lease is gone."""

    async def revoke_lease(self, lease: int) -> None: ...

    async def close(self) -> None: ...
