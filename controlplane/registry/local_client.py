"""A `Client` inside the server's process: the same chain as over HTTP, without HTTP and encoding.

Objects come straight from the cache and are shared: nobody changes them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import structlog

from controlplane.registry.interface import (
    Api,
    ListOptions,
    RequestContext,
    StoredEvent,
    User,
    WatchOptions,
    WriteOptions,
)
from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object
from orch.client.client import ListPage, PatchType, WatchEvent
from orch.kit.ids import Ids

T = TypeVar("T", bound=Object)
log = structlog.get_logger(__name__)

REQUEST_ID_CHARS = 10
STATUS = "status"


class LocalClient:
    """A `Client` with a fixed identity."""

    def __init__(self, api: Api, user: User, ids: Ids) -> None:
        self._api = api
        self._user = user
        self._manager = user.name.rpartition(":")[2]
        self._ids = ids

    async def get(self, kind: Kind[T], name: str, namespace: str = "", *, resource_version: str = "") -> T:
        context = self._context()
        return (await self._api.get(context, kind, namespace, name, resource_version=resource_version)).obj

    async def list(
        self,
        kind: Kind[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> ListPage[T]:
        options = ListOptions(
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            limit=limit,
            continue_token=continue_token,
        )
        listing = await self._api.list(self._context(), kind, namespace, options)
        items = tuple(item.obj for item in listing.items)
        return ListPage(items, str(listing.revision), listing.continue_token, listing.remaining)

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        options = self._write_options("", dry_run=dry_run)
        return (await self._api.create(self._context(), kind, obj.metadata.namespace, obj, options)).obj

    async def update(self, kind: Kind[T], obj: T, *, subresource: str = "", dry_run: bool = False) -> T:
        namespace, name = obj.metadata.namespace, obj.metadata.name
        options = self._write_options(subresource, dry_run=dry_run)
        stored = await self._api.update(self._context(), kind, namespace, name, obj, options, subresource=subresource)
        return stored.obj

    async def patch(
        self,
        kind: Kind[T],
        name: str,
        namespace: str,
        patch: Any,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> T:
        options = self._write_options(subresource)
        stored = await self._api.patch(
            self._context(), kind, namespace, name, patch, patch_type, options, subresource=subresource
        )
        return stored.obj

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", *, options: DeleteOptions | None = None
    ) -> None:
        await self._api.delete(self._context(), kind, namespace, name, options or DeleteOptions())

    async def create_subresource(
        self, kind: Kind[Any], name: str, namespace: str, subresource: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        options = WriteOptions()
        return await self._api.create_subresource(self._context(), kind, namespace, name, subresource, body, options)

    @asynccontextmanager
    async def watch(
        self,
        kind: Kind[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str,
        bookmarks: bool = True,
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
        options = WatchOptions(
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            bookmarks=bookmarks,
        )
        async with (
            self._api.watch(self._context(), kind, namespace, options) as batches,
            aclosing(_single_events(batches)) as events,
        ):
            yield events

    def _write_options(self, subresource: str, *, dry_run: bool = False) -> WriteOptions:
        """Fields are this identity's; the status that the server itself writes has no entry in managedFields
        (docs/decisions/managed-fields.md)."""
        manager = "" if subresource == STATUS else self._manager
        return WriteOptions(dry_run=dry_run, field_manager=manager)

    def _context(self) -> RequestContext:
        return RequestContext(self._user, self._ids.suffix(REQUEST_ID_CHARS), self._warn)

    def _warn(self, message: str) -> None:
        log.debug("api_warning", user=self._user.name, warning=message)


async def _single_events(batches: AsyncIterator[Sequence[StoredEvent[T]]]) -> AsyncGenerator[WatchEvent[T], None]:
    async for batch in batches:
        for event in batch:
            yield WatchEvent(event.type, event.stored.obj)
