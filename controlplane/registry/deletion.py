"""What a delete does to an object: it goes, it is marked and waits, or nothing changes. Pure.

Follows apiserver's `rest.BeforeDelete` and the generic store's `deletionFinalizersForGarbageCollection`: an object goes
when its grace period is 0 and nothing holds it; else it carries deletionTimestamp until that is so.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from controlplane.registry import content, failures
from controlplane.registry.strategy import Strategy
from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object, ObjectMeta, Preconditions
from orch.api.metadata import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from orch.errors import BadRequest
from orch.kit.clock import whole_seconds

T = TypeVar("T", bound=Object)

_COLLECTOR_FINALIZERS = (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)
_FINALIZER_OF_POLICY = {"Orphan": ORPHAN_FINALIZER, "Foreground": FOREGROUND_FINALIZER, "Background": ""}


@dataclass(frozen=True, slots=True)
class Remove:
    """The object goes now."""


@dataclass(frozen=True, slots=True)
class Mark(Generic[T]):
    """The object stays, as `obj`, until it may go."""

    obj: T


@dataclass(frozen=True, slots=True)
class AlreadyDeleting:
    """Nothing changes: the object waits for what it waited for before."""


def decide_deletion(
    strategy: Strategy[T], obj: T, options: DeleteOptions, grace_s: int, now: datetime
) -> Remove | Mark[T] | AlreadyDeleting:
    """`grace_s` is what the strategy makes of the requested grace period."""
    finalizers = _finalizers_after(obj.metadata, options)
    if grace_s == 0 and not finalizers and not strategy.is_held(obj):
        return Remove()
    marked = content.with_metadata(obj, finalizers=finalizers or None)
    if obj.metadata.deletion_timestamp is None:
        marked = _begin(strategy, marked, grace_s, now)
    elif grace_s < (obj.metadata.deletion_grace_period_seconds or 0):
        marked = _shorten(marked, grace_s)
    return AlreadyDeleting() if marked == obj else Mark(marked)


def may_go(strategy: Strategy[T], obj: T) -> bool:
    """Whether an update has taken away the last thing that kept a deleted object."""
    metadata = obj.metadata
    waits = metadata.deletion_timestamp is None or bool(metadata.deletion_grace_period_seconds)
    return not waits and not metadata.finalizers and not strategy.is_held(obj)


def check_preconditions(kind: Kind[Any], metadata: ObjectMeta, preconditions: Preconditions | None) -> None:
    """Raises Conflict."""
    if preconditions is None:
        return
    for field, wanted, found in (
        ("UID", preconditions.uid, metadata.uid),
        ("ResourceVersion", preconditions.resource_version, metadata.resource_version),
    ):
        if wanted is not None and wanted != found:
            why = f"the {field} in the precondition ({wanted}) does not match the {field} in record ({found})."
            raise failures.conflict(kind, metadata.name, f"{why} The object might have been deleted and then recreated")


def check_options(options: DeleteOptions) -> None:
    """Raises BadRequest."""
    policy = options.propagation_policy
    if policy is not None and policy not in _FINALIZER_OF_POLICY:
        raise BadRequest(f'propagationPolicy: Unsupported value: "{policy}": must be Foreground, Background or Orphan')
    if policy is not None and options.orphan_dependents is not None:
        raise BadRequest("orphanDependents and propagationPolicy can't be both set")


def is_forced(options: DeleteOptions) -> bool:
    """Whether an object that cannot be read may go: without preconditions, which nobody could check."""
    forced = options.grace_period_seconds == 0 or options.ignore_store_read_error_with_cluster_breaking_potential
    return bool(forced) and options.preconditions is None


def _finalizers_after(metadata: ObjectMeta, options: DeleteOptions) -> tuple[str, ...]:
    """The caller's policy decides; without one, the collector's finalizers that are there stay."""
    present = metadata.finalizers or ()
    wanted = _wanted_finalizer(options)
    if wanted is None:
        return present
    others = tuple(finalizer for finalizer in present if finalizer not in _COLLECTOR_FINALIZERS)
    return (*others, wanted) if wanted else others


def _wanted_finalizer(options: DeleteOptions) -> str | None:
    if options.orphan_dependents is not None:
        return ORPHAN_FINALIZER if options.orphan_dependents else ""
    return None if options.propagation_policy is None else _FINALIZER_OF_POLICY[options.propagation_policy]


def _begin(strategy: Strategy[T], obj: T, grace_s: int, now: datetime) -> T:
    generation = obj.metadata.generation
    marked = content.with_metadata(
        obj,
        deletion_timestamp=whole_seconds(now) + timedelta(seconds=grace_s),
        deletion_grace_period_seconds=grace_s,
        generation=generation + 1 if generation else generation,
    )
    return strategy.mark_deleting(marked)


def _shorten(obj: T, grace_s: int) -> T:
    metadata = obj.metadata
    assert metadata.deletion_timestamp is not None
    asked_at = metadata.deletion_timestamp - timedelta(seconds=metadata.deletion_grace_period_seconds or 0)
    return content.with_metadata(
        obj, deletion_timestamp=asked_at + timedelta(seconds=grace_s), deletion_grace_period_seconds=grace_s
    )
