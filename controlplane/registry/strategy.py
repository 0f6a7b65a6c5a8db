"""What a kind does of its own when its objects are written. Most kinds need none of it.

A strategy decides; it never touches the store: it gives back the object to write and the guards and internal writes
that must go into the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controlplane.registry import content
from controlplane.registry.interface import User
from controlplane.store.backend import Delete, Guard, Put
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.errors import Cause

T = TypeVar("T", bound=Object)

STATUS = "status"


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """One write: the object (None: it is deleted) and what belongs into the same transaction."""

    obj: T | None
    guards: tuple[Guard, ...] = ()
    writes: tuple[Put | Delete, ...] = ()


class Strategy(Generic[T]):
    """The usual behaviour: status is written through its subresource only, and a new desired state is a generation."""

    def __init__(self, kind: Kind[T]) -> None:
        self.kind = kind

    @property
    def counts_generations(self) -> bool:
        return STATUS in self.kind.subresources

    @property
    def expires(self) -> bool:
        """Whether objects go by themselves some time after their last write."""
        return False

    def prepare_create(self, obj: T) -> T:
        """Runs before validation. Raises ApiError."""
        return content.without_status(obj) if STATUS in self.kind.subresources else obj

    def prepare_update(self, new: T, old: T) -> T:
        """Runs before validation."""
        return content.with_status_of(new, old) if STATUS in self.kind.subresources else new

    def prepare_status(self, new: T, old: T) -> T:
        """A write of the status subresource changes the status and nothing else."""
        return content.with_status_of(old, new)

    def prepare_part(self, subresource: str, new: T, old: T) -> T:
        """A write of any other subresource; it too changes its part of the object and nothing else."""
        return new

    def validate_part(self, subresource: str, new: T, old: T) -> Sequence[Cause]:
        """What a write of the object (`subresource` is empty) or of a subresource may change."""
        return self.kind.validate_update(new, old)

    def plan(self, new: T | None, old: T | None) -> Plan[T]:
        """Allocations and the like, on the present state of the cache. Raises ApiError."""
        return Plan(new)

    def plan_forget(self, named: T) -> Plan[T]:
        """The removal of an object of which only the name and namespace are known."""
        return Plan(None)

    def grace_period_s(self, obj: T, requested: int | None, user: User) -> int:
        """How long a deletion waits; 0: the object may go at once."""
        return 0

    def is_held(self, obj: T) -> bool:
        """Whether something beside metadata.finalizers keeps a deleted object."""
        return False

    def mark_deleting(self, obj: T) -> T:
        """The object when its deletion begins."""
        return obj


class ExpiringStrategy(Strategy[T]):
    """For kinds that are news (events)."""

    @property
    def expires(self) -> bool:
        return True


class GenerationalStrategy(Strategy[T]):
    """For kinds that count generations though they have no status."""

    @property
    def counts_generations(self) -> bool:
        return True


class UncountedStrategy(Strategy[T]):
    """For kinds with a status that count no generations; what their defaults say of a new status holds."""

    @property
    def counts_generations(self) -> bool:
        return False

    def prepare_create(self, obj: T) -> T:
        return self.kind.set_defaults(super().prepare_create(obj))


class ProtectedStrategy(UncountedStrategy[T]):
    """For kinds that a finalizer keeps while they are in use, as the plugin StorageObjectInUseProtection gives it."""

    def __init__(self, kind: Kind[T], finalizer: str) -> None:
        super().__init__(kind)
        self._finalizer = finalizer

    def prepare_create(self, obj: T) -> T:
        obj = super().prepare_create(obj)
        present = obj.metadata.finalizers or ()
        return content.with_metadata(obj, finalizers=tuple(dict.fromkeys((*present, self._finalizer))))


class KeepsStatusStrategy(Strategy[T]):
    """For kinds whose creator reports their status at once (nodes), and that count no generations."""

    @property
    def counts_generations(self) -> bool:
        return False

    def prepare_create(self, obj: T) -> T:
        return obj


class Strategies:
    """Which kind has a strategy of its own."""

    def __init__(self, own: Mapping[tuple[str, str], Strategy[Any]]) -> None:
        self._by_resource = dict(own)

    def of(self, kind: Kind[T]) -> Strategy[T]:
        """Kinds may be registered at run time."""
        own: Strategy[T] | None = self._by_resource.get((kind.group, kind.plural))
        return own or Strategy(kind)
