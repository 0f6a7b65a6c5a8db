"""The one interface to the API. Scheduler, controllers, nodeplane and the simulator are written against `Client`.

`LocalClient` (controlplane) calls the server's chain in-process, `HttpClient` (orch.client.http) talks to a server.
Both raise `orch.errors.ApiError`. Objects that a client returns are shared and never changed in place.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object

T = TypeVar("T", bound=Object)


class PatchType(StrEnum):
    """The Content-Type of a PATCH."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class EventType(StrEnum):
    """What a watch event says (meta/v1 WatchEvent.type)."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """`obj` is the state after the event (for DELETED: the last state); its resourceVersion is the event's revision."""

    type: EventType
    obj: T


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """Items at one revision. `continue_token` is empty on the last page."""

    items: tuple[T, ...]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


class Client(Protocol):
    """Verbs of the Kubernetes API. `namespace` is empty for cluster-scoped kinds and, in list and watch, for all."""

    async def get(self, kind: Kind[T], name: str, namespace: str = "", *, resource_version: str = "") -> T: ...

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
    ) -> ListPage[T]: ...

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T: ...

    async def update(self, kind: Kind[T], obj: T, *, subresource: str = "", dry_run: bool = False) -> T:
        """Compare-and-swap when obj carries a resourceVersion (Conflict if stale), else unconditional."""

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
        """`patch` is plain data. A `metadata.resourceVersion` or `metadata.uid` in it is a precondition."""

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", *, options: DeleteOptions | None = None
    ) -> None: ...

    async def create_subresource(
        self, kind: Kind[Any], name: str, namespace: str, subresource: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """POST of a subresource; the answer is a Status (binding, eviction) or the body with its status (token)."""

    def watch(
        self,
        kind: Kind[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str,
        bookmarks: bool = True,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]:
        """Events after `resource_version`. Ends when the server ends it; raises Expired below the kept history."""
