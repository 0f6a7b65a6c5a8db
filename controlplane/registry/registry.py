"""Generic create, update and delete of every kind: read from the cache, decide, commit by compare-and-swap, retry.

Knows metadata, codec and strategies, never a class. A write is one transaction on one object with the guards and
internal keys that its strategy plans; it is answered after the cache has reached its revision. A refused transaction
means that somebody was faster: the decision is made anew on the newer state.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controlplane.registry import content, failures, metadata
from controlplane.registry.deletion import (
    AlreadyDeleting,
    Mark,
    check_options,
    check_preconditions,
    decide_deletion,
    is_forced,
    may_go,
)
from controlplane.registry.interface import Deleted, RequestContext, Stored
from controlplane.registry.quota import Quotas
from controlplane.registry.strategy import Plan, Strategies, Strategy
from controlplane.store import keys
from controlplane.store.backend import Backend, Delete, Guard, Put, Refused, StoreError
from controlplane.store.cache import WatchCache
from controlplane.store.leases import SharedLeases
from controlplane.store.objects import Actor, ObjectFormat, OwnWrite, encode_stored, moved_to, stored_at, with_revision
from controlplane.store.shelf import unreadable
from orch.api.causes import invalid
from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object
from orch.errors import RequestEntityTooLarge, ServiceUnavailable, Timeout
from orch.kit.clock import Clock
from orch.kit.ids import Ids
from orch.managed.managers import same_but_times

T = TypeVar("T", bound=Object)

WRITE_ATTEMPTS_MAX = 10
OBJECT_BYTES_MAX = 1_400_000
"""Below etcd's request limit of 1.5 MiB, with room for the envelope and internal keys."""

BINDING = "binding"
"""Sets what no update may change, and is no new generation."""

Change = Callable[[T], Awaitable[T]]
"""The new object from the present one; called again when somebody else was faster. Raises ApiError."""

ScopeGuards = Callable[[Kind[Any], str], Sequence[Guard]]
"""(kind, namespace) -> what must still hold when an object is created there."""


class _Refused(Exception):
    """A guard did not hold: decide again on newer state."""


@dataclass(frozen=True, slots=True)
class _Write(Generic[T]):
    """One attempt: what was read and what is to be written."""

    kind: Kind[T]
    namespace: str
    name: str
    old: Stored[T] | None
    plan: Plan[T]
    context: RequestContext


class Registry:
    def __init__(
        self,
        *,
        backend: Backend,
        cache: WatchCache,
        object_format: ObjectFormat,
        strategies: Strategies,
        leases: SharedLeases,
        scope_guards: ScopeGuards,
        quotas: Quotas,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._backend = backend
        self._cache = cache
        self._format = object_format
        self._strategies = strategies
        self._leases = leases
        self._scope_guards = scope_guards
        self._quotas = quotas
        self._clock = clock
        self._ids = ids

    async def create(
        self, context: RequestContext, kind: Kind[T], namespace: str, obj: T, admit: Change[T], *, dry_run: bool
    ) -> Stored[T]:
        """`admit` may change and refuse the defaulted object before its validation."""
        async with self._quotas.turn(kind, namespace):
            return await self._create(context, kind, namespace, obj, admit, dry_run=dry_run)

    async def _create(
        self, context: RequestContext, kind: Kind[T], namespace: str, obj: T, admit: Change[T], *, dry_run: bool
    ) -> Stored[T]:
        generated = not obj.metadata.name
        for _ in range(WRITE_ATTEMPTS_MAX):
            strategy = self._strategies.of(kind)
            new = await self._new_object(strategy, namespace, obj, admit)
            name = new.metadata.name
            if self._cache.exists(kind, namespace, name):
                if generated:
                    continue
                raise failures.already_exists(kind, name)
            plan = self._quotas.charged(strategy.plan(new, None), kind, namespace, None)
            guards = (*self._scope_guards(kind, namespace), *plan.guards)
            write = _Write(kind, namespace, name, None, Plan(plan.obj, guards, plan.writes), context)
            try:
                return await self._commit(write, dry_run=dry_run)
            except _Refused:
                continue
        raise failures.conflict(kind, obj.metadata.name or obj.metadata.generate_name)

    async def _new_object(self, strategy: Strategy[T], namespace: str, obj: T, admit: Change[T]) -> T:
        kind, ids = strategy.kind, self._ids
        suffix = "" if obj.metadata.name else ids.suffix(metadata.NAME_SUFFIX_CHARS)
        obj = metadata.for_create(
            kind,
            metadata.named(kind, obj, suffix),
            namespace if kind.namespaced else "",
            uid=ids.uid(),
            now=self._clock.now(),
            generation=1 if strategy.counts_generations else None,
        )
        new = strategy.prepare_create(kind.set_defaults(await admit(kind.set_defaults(obj))))
        if causes := kind.validate(new):
            raise invalid(kind, new.metadata.name, causes)
        return new

    async def update(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        change: Change[T],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Stored[T]:
        """Writes nothing when nothing changes. The last finalizer taken from a deleted object removes it."""
        await self._cache.fresh()
        for _ in range(WRITE_ATTEMPTS_MAX):
            old = self._present(kind, namespace, name)
            strategy = self._strategies.of(kind)
            new = self._updated(strategy, await change(old.obj), old.obj, subresource)
            if _says_the_same(new, old.obj):
                return old
            if may_go(strategy, new):
                old = Stored(new, old.revision, with_revision(encode_stored(kind, new), old.revision))
                plan = strategy.plan(None, new)
            else:
                plan = self._quotas.charged(strategy.plan(new, old.obj), kind, namespace, old.obj)
            try:
                return await self._commit(_Write(kind, namespace, name, old, plan, context), dry_run=dry_run)
            except _Refused:
                continue
        raise failures.conflict(kind, name)

    def _updated(self, strategy: Strategy[T], new: T, old: T, subresource: str) -> T:
        kind = strategy.kind
        new = metadata.for_update(kind, kind.set_defaults(new), old)
        entries = new.metadata.managed_fields
        if subresource == "status":
            new = content.with_metadata(strategy.prepare_status(new, old), managed_fields=entries)
        elif subresource == "":
            new = strategy.prepare_update(new, old)
        else:
            new = strategy.prepare_part(subresource, new, old)
        if subresource == BINDING:
            return new
        if causes := (*kind.validate(new), *strategy.validate_part(subresource, new, old)):
            raise invalid(kind, old.metadata.name, causes)
        if strategy.counts_generations and not content.same_desired_state(new, old):
            new = content.with_metadata(new, generation=(old.metadata.generation or 0) + 1)
        return new

    async def delete(
        self, context: RequestContext, kind: Kind[T], namespace: str, name: str, options: DeleteOptions
    ) -> Deleted[T]:
        check_options(options)
        await self._cache.fresh()
        dry_run = "All" in (options.dry_run or ())
        if found := self._cache.unreadable_at(kind, namespace, name):
            return await self._delete_unreadable(context, kind, namespace, name, options, found.revision)
        for _ in range(WRITE_ATTEMPTS_MAX):
            old, strategy = self._present(kind, namespace, name), self._strategies.of(kind)
            check_preconditions(kind, old.obj.metadata, options.preconditions)
            grace_s = strategy.grace_period_s(old.obj, options.grace_period_seconds, context.user)
            decision = decide_deletion(strategy, old.obj, options, grace_s, self._clock.now())
            if isinstance(decision, AlreadyDeleting):
                return Deleted(old, done=False)
            plan = Plan(decision.obj) if isinstance(decision, Mark) else strategy.plan(None, old.obj)
            try:
                stored = await self._commit(_Write(kind, namespace, name, old, plan, context), dry_run=dry_run)
                return Deleted(stored, done=plan.obj is None)
            except _Refused:
                continue
        raise failures.conflict(kind, name)

    async def _delete_unreadable(
        self, context: RequestContext, kind: Kind[T], namespace: str, name: str, options: DeleteOptions, revision: int
    ) -> Deleted[T]:
        """By force only, since nobody knows what held the object: no finalizer or grace period is heard."""
        if not is_forced(options):
            raise unreadable(kind, f"{namespace}/{name}")
        obj = kind.codec.from_plain(
            {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, "namespace": namespace}}
        )
        old = stored_at(obj, encode_stored(kind, obj), revision)
        plan = self._strategies.of(kind).plan_forget(obj)
        try:
            dry_run = "All" in (options.dry_run or ())
            stored = await self._commit(_Write(kind, namespace, name, old, plan, context), dry_run=dry_run)
        except _Refused:
            raise failures.conflict(kind, name) from None
        return Deleted(stored, done=True)

    def _present(self, kind: Kind[T], namespace: str, name: str) -> Stored[T]:
        if (stored := self._cache.get(kind, namespace, name)) is None:
            raise failures.not_found(kind, name)
        return stored

    async def _commit(self, write: _Write[T], *, dry_run: bool) -> Stored[T]:
        """The object as written; a deleted one in its last state. Raises _Refused when a guard does not hold."""
        kind, plan = write.kind, write.plan
        data = b"" if plan.obj is None else encode_stored(kind, plan.obj)
        if len(data) > OBJECT_BYTES_MAX:
            raise RequestEntityTooLarge(
                f"Request entity too large: the object has {len(data)} bytes, the limit is {OBJECT_BYTES_MAX}"
            )
        if dry_run:
            return _not_written(write, data)
        revision = await self._transact(write, data)
        if plan.obj is None:
            assert write.old is not None
            return moved_to(write.old, revision)
        shown = self._cache.get(kind, write.namespace, write.name)
        return shown if shown and shown.revision == revision else stored_at(plan.obj, data, revision)

    async def _transact(self, write: _Write[T], data: bytes) -> int:
        key = keys.object_key(write.kind, write.namespace, write.name)
        guard = Guard(key, mod_revision=write.old.revision if write.old else 0)
        guards = (guard, *write.plan.guards)
        actor = Actor(write.context.user.name, write.context.request_id)
        if write.plan.obj is None:
            writes = (Delete(key), Put(keys.DELETED_BY, self._format.seal_actor(actor)), *write.plan.writes)
            return await self._committed(guards, writes)
        lease = await self._lease_for(write)
        own = OwnWrite(write.plan.obj, data, self._format.seal(write.kind, key, data, actor))
        self._cache.expect(key, own)
        try:
            return await self._committed(guards, (Put(key, own.value, lease), *write.plan.writes))
        finally:
            self._cache.expect_no_more(key, own)

    async def _committed(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> int:
        """The revision of the write, which the cache has reached."""
        try:
            result = await self._backend.commit(guards, writes)
        except StoreError as error:
            # It may have happened: no Retry-After, which clients take as leave to send a write again.
            raise Timeout(f"the store did not confirm the write, whose outcome is unknown: {error}") from error
        await self._cache.reached(result.revision)
        if isinstance(result, Refused):
            raise _Refused
        return result.revision

    async def _lease_for(self, write: _Write[T]) -> int:
        if write.plan.obj is None or not self._strategies.of(write.kind).expires:
            return 0
        try:
            return await self._leases.current()
        except StoreError as error:
            raise ServiceUnavailable(f"the store does not answer: {error}", retry_after_s=1) from error


def _says_the_same(new: T, old: T) -> bool:
    """Whether nothing changed, or nothing but the times in managedFields."""
    if new == old:
        return True
    entries = old.metadata.managed_fields
    if not entries or not same_but_times(new.metadata.managed_fields, entries):
        return False
    return content.with_metadata(new, managed_fields=entries) == old


def _not_written(write: _Write[T], data: bytes) -> Stored[T]:
    """What a dry run answers: a new object has no resourceVersion, another keeps the one that it has."""
    if write.plan.obj is None or write.old is not None:
        assert write.old is not None
        return write.old if write.plan.obj is None else stored_at(write.plan.obj, data, write.old.revision)
    return Stored(write.plan.obj, 0, data)
