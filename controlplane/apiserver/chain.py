"""The one chain that every call goes through, whoever calls: authorization, admission, registry.

The registry sets defaults and validates after admission, inside its retries, since a write that lost a race is decided
anew. The chain knows verbs and subresources; it never touches the store.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Admission, Operation, Request
from controlplane.apiserver.authz import selector_refusal
from controlplane.apiserver.evictions import Evictions
from controlplane.apiserver.metrics import Metrics
from controlplane.apiserver.refusals import forbidden_to, no_such_resource
from controlplane.apiserver.responses import success_status
from controlplane.apiserver.reviews.reviews import Reviews
from controlplane.apiserver.subresource_body import decoded_body
from controlplane.registry import failures, field_managers
from controlplane.registry.apply_config import read_config
from controlplane.registry.field_managers import Application
from controlplane.registry.interface import (
    Applied,
    Authorizer,
    Deleted,
    Listing,
    ListOptions,
    RequestContext,
    Stored,
    StoredEvent,
    WatchOptions,
    WriteOptions,
)
from controlplane.registry.listing import Lister, parse_revision, selection_of, wait_for
from controlplane.registry.metadata import check_addressed, check_applied_anew
from controlplane.registry.namespace import finalized
from controlplane.registry.patches import patched
from controlplane.registry.pod import bound
from controlplane.registry.registry import Change, Registry
from controlplane.registry.scale import SCALE, scale_of, scaled, stored_scale
from controlplane.registry.served import shown, shown_batches, shown_deletion, shown_listing, taken
from controlplane.store.cache import WatchCache
from controlplane.tokens.issuer import TOKENREQUEST, TokenIssuer
from orch.api.authentication import TokenRequest
from orch.api.kind import Kind, KindTable
from orch.api.kinds import PODS, SERVICEACCOUNTS
from orch.api.meta import DeleteOptions, Object
from orch.api.subresources import Binding, Eviction
from orch.client.client import PatchType
from orch.errors import BadRequest, MethodNotAllowed, NotFound
from orch.kit.clock import Clock

T = TypeVar("T", bound=Object)

STATUS, SCALE_SUBRESOURCE, FINALIZE = "status", "scale", "finalize"
BINDING, EVICTION, TOKEN = "binding", "eviction", "token"


class Chain:
    """An `Api`."""

    def __init__(
        self,
        *,
        kinds: KindTable,
        registry: Registry,
        lister: Lister,
        cache: WatchCache,
        authorizer: Authorizer,
        admission: Admission,
        reviews: Reviews,
        metrics: Metrics,
        tokens: TokenIssuer,
        clock: Clock,
    ) -> None:
        self._kinds = kinds
        self._registry = registry
        self._lister = lister
        self._cache = cache
        self._authorizer = authorizer
        self._admission = admission
        self._reviews = reviews
        self._metrics = metrics
        self._tokens = tokens
        self._clock = clock
        self._evictions = Evictions(registry, cache, self._delete_pod, clock)

    async def get(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        *,
        resource_version: str = "",
        subresource: str = "",
    ) -> Stored[T]:
        await self._allow(context, "get", kind, namespace, name, subresource)
        if kind.virtual:
            return self._metrics.get(kind, namespace, name)
        await wait_for(self._cache, resource_version)
        if (stored := self._cache.get(kind.stored, namespace, name)) is None:
            raise failures.not_found(kind.stored, name)
        return stored_scale(kind, stored) if subresource == SCALE_SUBRESOURCE else shown(kind, stored)

    async def list(self, context: RequestContext, kind: Kind[T], namespace: str, options: ListOptions) -> Listing[T]:
        await self._allow(context, "list", kind, namespace, field_selector=options.field_selector)
        if kind.virtual:
            return self._metrics.list(kind, namespace, options)
        return shown_listing(kind, await self._lister.list(kind, namespace, options))

    @asynccontextmanager
    async def watch(
        self, context: RequestContext, kind: Kind[T], namespace: str, options: WatchOptions
    ) -> AsyncIterator[AsyncIterator[Sequence[StoredEvent[T]]]]:
        await self._allow(context, "watch", kind, namespace, field_selector=options.field_selector)
        selection = selection_of(kind, namespace, options.label_selector, options.field_selector)
        await wait_for(self._cache, options.resource_version)
        after = self._watched_after(options)
        async with self._cache.watch(
            kind.stored,
            selection,
            after=after,
            bookmarks=options.bookmarks,
            mark_initial=bool(options.send_initial_events and options.bookmarks),
        ) as batches:
            yield shown_batches(kind, batches)

    def _watched_after(self, options: WatchOptions) -> int | None:
        """None: from the present state on."""
        is_newest = options.resource_version in ("", "0")
        if options.send_initial_events or (options.send_initial_events is None and is_newest):
            return None
        return self._cache.revision if is_newest else parse_revision(options.resource_version)

    async def create(
        self, context: RequestContext, kind: Kind[T], namespace: str, obj: T, options: WriteOptions
    ) -> Stored[T]:
        await self._allow(context, "create", kind, namespace, obj.metadata.name)
        check_addressed(kind, obj, namespace, "")
        if kind.namespaced and not namespace:
            raise BadRequest("an empty namespace may not be set during creation")
        if kind.virtual:
            return await self._reviews.answer(context, kind, namespace, obj)
        stored_kind: Kind[Any] = kind.stored
        request = Request(context, Operation.CREATE, stored_kind, namespace, obj.metadata.name)

        async def admit(new: Any) -> Any:
            owned = field_managers.created(stored_kind, new, options.field_manager, self._clock.now())
            return await self._admission.admit(request, owned)

        created = await self._registry.create(
            context, stored_kind, namespace, taken(kind, obj), admit, dry_run=options.dry_run
        )
        return shown(kind, created)

    async def update(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        obj: T,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> Stored[T]:
        await self._allow(context, "update", kind, namespace, name, subresource)
        check_addressed(SCALE if subresource == SCALE_SUBRESOURCE else kind, obj, namespace, name)
        make_new = self._tracked(kind, _replacement(kind, obj, subresource), options, subresource)
        return await self._write(context, kind, namespace, name, make_new, options, subresource)

    async def patch(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        patch: Any,
        patch_type: PatchType,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> Stored[T]:
        await self._allow(context, "patch", kind, namespace, name, subresource)
        part: Kind[Any] = SCALE if subresource == SCALE_SUBRESOURCE else kind

        def make_new(old: Any) -> Any:
            present: Any = scale_of(kind, old) if part is SCALE else kind.from_stored(old)
            new = patched(context, part, present, patch, patch_type, options.field_validation)
            check_addressed(part, new, namespace, name)
            return _replacement(kind, new, subresource)(old)

        tracked = self._tracked(kind, make_new, options, subresource)
        return await self._write(context, kind, namespace, name, tracked, options, subresource)

    async def apply(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        config: Any,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> Applied[T]:
        await self._allow(context, "patch", kind, namespace, name, subresource)
        checked = read_config(kind, config, subresource, f"{namespace}/{name}" if namespace else name)
        application = Application(checked, options.field_manager, options.force, subresource)
        now = self._clock.now()

        def make_new(old: Any) -> Any:
            new = field_managers.applied(kind, kind.from_stored(old), application, now, kinds=self._kinds)
            check_addressed(kind, new, namespace, name)
            return taken(kind, new, old)

        try:
            stored = await self._write(context, kind, namespace, name, make_new, options, subresource)
            return Applied(stored, created=False)
        except NotFound:
            if subresource:
                raise
        new = field_managers.applied(kind, None, application, now, kinds=self._kinds)
        check_applied_anew(kind, new.metadata, name)
        entries_kept = dataclasses.replace(options, field_manager="")
        return Applied(await self.create(context, kind, namespace, new, entries_kept), created=True)

    def _tracked(
        self, kind: Kind[Any], make_new: Callable[[Any], Any], options: WriteOptions, subresource: str
    ) -> Callable[[Any], Any]:
        """`make_new`, and whose fields its changes are."""
        stored_kind, now = kind.stored, self._clock.now()

        def change(old: Any) -> Any:
            new = stored_kind.set_defaults(make_new(old))
            manager, kinds = options.field_manager, self._kinds
            return field_managers.updated(stored_kind, new, old, subresource, manager, now, kinds=kinds)

        return change

    async def delete(
        self, context: RequestContext, kind: Kind[T], namespace: str, name: str, options: DeleteOptions
    ) -> Deleted[T]:
        await self._allow(context, "delete", kind, namespace, name)
        return await self._delete(context, kind, namespace, name, options)

    async def delete_collection(
        self, context: RequestContext, kind: Kind[T], namespace: str, selection: ListOptions, options: DeleteOptions
    ) -> Listing[T]:
        await self._allow(context, "deletecollection", kind, namespace, field_selector=selection.field_selector)
        listing = await self._lister.list(kind, namespace, selection)
        deleted = []
        for item in listing.items:
            metadata = item.obj.metadata
            try:
                gone = await self._delete(context, kind, metadata.namespace, metadata.name, options)
            except NotFound:
                continue
            deleted.append(gone.stored)
        return Listing(deleted, listing.revision, listing.continue_token, listing.remaining)

    async def create_subresource(
        self,
        context: RequestContext,
        kind: Kind[Any],
        namespace: str,
        name: str,
        subresource: str,
        body: Mapping[str, Any],
        options: WriteOptions,
    ) -> Mapping[str, Any]:
        await self._allow(context, "create", kind, namespace, name, subresource)
        if kind is PODS and subresource == BINDING:
            await self._bind(context, namespace, name, body, options)
        elif kind is PODS and subresource == EVICTION:
            await self._evict(context, namespace, name, body, options)
        elif kind is SERVICEACCOUNTS and subresource == TOKEN:
            request = decoded_body(context, TokenRequest, body, options)
            return TOKENREQUEST.codec.to_plain(self._tokens.issue(namespace, name, request))
        else:
            raise no_such_resource()
        return success_status()

    async def authorize(
        self,
        context: RequestContext,
        verb: str,
        group: str,
        resource: str,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> None:
        refusal = await self._authorizer(context, verb, group, resource, subresource, namespace, name)
        if refusal:
            raise forbidden_to(context.user.name, verb, group, resource, subresource, namespace, name, refusal)

    async def _allow(
        self,
        context: RequestContext,
        verb: str,
        kind: Kind[Any],
        namespace: str,
        name: str = "",
        subresource: str = "",
        field_selector: str = "",
    ) -> None:
        if subresource and subresource not in kind.subresources:
            raise no_such_resource()
        if not subresource and verb not in kind.verbs:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        await self.authorize(
            context, verb, kind.group, kind.plural, namespace=namespace, name=name, subresource=subresource
        )
        if verb in ("list", "watch") and (refusal := selector_refusal(context.user, field_selector)):
            raise forbidden_to(context.user.name, verb, kind.group, kind.plural, "", namespace, "", refusal)

    async def _write(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        make_new: Callable[[Any], Any],
        options: WriteOptions,
        subresource: str,
    ) -> Stored[T]:
        """`make_new` makes the new stored object of the present one."""
        stored_kind: Kind[Any] = kind.stored
        stored = await self._registry.update(
            context,
            stored_kind,
            namespace,
            name,
            self._admitted(context, stored_kind, namespace, name, make_new, subresource),
            subresource=subresource,
            dry_run=options.dry_run,
        )
        return stored_scale(kind, stored) if subresource == SCALE_SUBRESOURCE else shown(kind, stored)

    def _admitted(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        make_new: Callable[[T], T],
        subresource: str,
    ) -> Change[T]:
        async def change(old: T) -> T:
            request = Request(context, Operation.UPDATE, kind, namespace, name, subresource, old)
            return await self._admission.admit(request, make_new(old))

        return change

    async def _delete(
        self, context: RequestContext, kind: Kind[T], namespace: str, name: str, options: DeleteOptions
    ) -> Deleted[T]:
        stored_kind: Kind[Any] = kind.stored
        await self._admission.admit_delete(Request(context, Operation.DELETE, stored_kind, namespace, name))
        return shown_deletion(kind, await self._registry.delete(context, stored_kind, namespace, name, options))

    async def _bind(
        self, context: RequestContext, namespace: str, name: str, body: Mapping[str, Any], options: WriteOptions
    ) -> None:
        binding = decoded_body(context, Binding, body, options)
        now = self._clock.now()
        await self._write(context, PODS, namespace, name, lambda pod: bound(pod, binding, now), options, BINDING)

    async def _evict(
        self, context: RequestContext, namespace: str, name: str, body: Mapping[str, Any], options: WriteOptions
    ) -> None:
        eviction = decoded_body(context, Eviction, body, options)
        if eviction.metadata.name not in ("", name):
            raise BadRequest("name in URL does not match name in Eviction object")
        asked = eviction.delete_options or DeleteOptions()
        asked = replace(asked, dry_run=("All",) if options.dry_run else asked.dry_run)
        await self._evictions.evict(context, namespace, name, asked)

    async def _delete_pod(self, context: RequestContext, namespace: str, name: str, options: DeleteOptions) -> None:
        await self._delete(context, PODS, namespace, name, options)


def _replacement(kind: Kind[Any], obj: Any, subresource: str) -> Callable[[Any], Any]:
    """How the body of a write, in the form `kind`, becomes the new stored object."""
    if subresource == SCALE_SUBRESOURCE:
        return lambda old: scaled(kind, old, obj)
    if subresource == FINALIZE:
        return lambda old: finalized(obj, old)
    return lambda old: taken(kind, obj, old)
