"""A `Client` whose calls fail now and then: refused before they happened, or unanswered after they did; and whose
watches break. What a control plane's parts must live with when the API is another process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object
from orch.client.client import Client, ListPage, PatchType, WatchEvent
from orch.errors import ServiceUnavailable
from orch.kit.ids import Ids

T = TypeVar("T", bound=Object)
R = TypeVar("R")


@dataclass
class Faults:
    """Shares of calls, 0 to 1. Changed while the simulation runs."""

    refused: float = 0.0
    unanswered: float = 0.0
    watch_broken: float = 0.0
    """Per event."""
    delay_max_s: float = 0.0

    def heal(self) -> None:
        self.refused = self.unanswered = self.watch_broken = self.delay_max_s = 0.0


class FlakyClient:
    def __init__(self, client: Client, faults: Faults, ids: Ids) -> None:
        self._client, self._faults, self._ids = client, faults, ids

    async def get(self, kind: Kind[T], name: str, namespace: str = "", *, resource_version: str = "") -> T:
        return await self._call(lambda: self._client.get(kind, name, namespace, resource_version=resource_version))

    async def list(self, kind: Kind[T], namespace: str = "", **options: Any) -> ListPage[T]:
        return await self._call(lambda: self._client.list(kind, namespace, **options))

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        return await self._call(lambda: self._client.create(kind, obj, dry_run=dry_run))

    async def update(self, kind: Kind[T], obj: T, *, subresource: str = "", dry_run: bool = False) -> T:
        return await self._call(
            lambda: self._client.update(kind, obj, subresource=subresource, dry_run=dry_run)
        )  # fmt: skip

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
        return await self._call(
            lambda: self._client.patch(kind, name, namespace, patch, patch_type=patch_type, subresource=subresource)
        )

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", *, options: DeleteOptions | None = None
    ) -> None:
        await self._call(lambda: self._client.delete(kind, name, namespace, options=options))

    async def create_subresource(
        self, kind: Kind[Any], name: str, namespace: str, subresource: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._call(lambda: self._client.create_subresource(kind, name, namespace, subresource, body))

    @asynccontextmanager
    async def watch(
        self, kind: Kind[T], namespace: str = "", **options: Any
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
        async with (
            self._client.watch(kind, namespace, **options) as events,
            aclosing(self._until_broken(events)) as left,
        ):
            yield left

    async def _until_broken(self, events: AsyncIterator[WatchEvent[T]]) -> AsyncGenerator[WatchEvent[T], None]:
        async for event in events:
            await self._delay()
            if self._strikes(self._faults.watch_broken):
                return
            yield event

    async def _call(self, call: Callable[[], Awaitable[R]]) -> R:
        await self._delay()
        if self._strikes(self._faults.refused):
            raise ServiceUnavailable("simulated: the request did not arrive")
        result = await call()
        if self._strikes(self._faults.unanswered):
            raise ServiceUnavailable("simulated: the answer did not arrive")
        return result

    async def _delay(self) -> None:
        if self._faults.delay_max_s:
            await asyncio.sleep(self._ids.uniform(0.0, self._faults.delay_max_s))

    def _strikes(self, share: float) -> bool:
        return share > 0 and self._ids.uniform(0.0, 1.0) < share
