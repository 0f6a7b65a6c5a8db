"""The seam between the API chain and whoever calls it: HTTP handlers and `LocalClient`.

`Api` is the one chain: authorization, admission, validation, registry. HTTP adds authentication and encoding before it
and after it; `LocalClient` calls it with a fixed identity. Every call carries a `RequestContext`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object
from orch.client.client import EventType, PatchType

T = TypeVar("T", bound=Object)


@dataclass(frozen=True, slots=True)
class User:
    """Who asks (authentication/v1 UserInfo)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Travels with every call through the chain."""

    user: User
    request_id: str
    warn: Callable[[str], None] = lambda message: None
    """Adds a Warning to the answer (HTTP header 299)."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """An object at a revision. `obj.metadata.resource_version` is set; `data` is its JSON with it, made once."""

    obj: T
    revision: int
    data: bytes
    _forms: "dict[str, Stored[Any]]" = field(init=False, repr=False, compare=False)
    """By apiVersion. Absent until the first is asked for, so that most objects don't pay for it."""

    def form(self, api_version: str, make: "Callable[[Stored[T]], Stored[Any]]") -> "Stored[Any]":
        """This state as another group-version serves it, made once."""
        try:
            forms = self._forms
        except AttributeError:
            object.__setattr__(self, "_forms", forms := {})
        if (found := forms.get(api_version)) is None:
            found = forms[api_version] = make(self)
        return found


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Objects at one revision, in key order."""

    items: Sequence[Stored[T]]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    limit: int = 0
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    bookmarks: bool = False
    send_initial_events: bool | None = None
    """None: the present state comes first when no resourceVersion or 0 is given, as watches always did."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    dry_run: bool = False
    field_validation: str = "Warn"
    """Strict, Warn or Ignore: what an unknown field in a body or patch gets."""
    field_manager: str = ""
    """Who owns what the write changes (metadata.managedFields). Empty: the write leaves no entry."""
    force: bool = False
    """An apply takes fields from their managers instead of ending with a Conflict."""


@dataclass(frozen=True)
class StoredEvent(Generic[T]):
    """One event of a watch. For DELETED the object's last state with the delete's revision."""

    type: EventType
    stored: Stored[T]

    @cached_property
    def frame(self) -> bytes:
        """The event as one line of a watch body; made once, shared by all watchers."""
        return b"".join((b'{"type":"', self.type.encode(), b'","object":', self.stored.data, b"}\n"))

    @cached_property
    def forms(self) -> "dict[str, StoredEvent[Any]]":
        """The event as other group-versions serve it, by apiVersion."""
        return {}


@dataclass(frozen=True, slots=True)
class Applied(Generic[T]):
    """What an apply left. `created`: the object was not there before."""

    stored: Stored[T]
    created: bool


@dataclass(frozen=True, slots=True)
class Deleted(Generic[T]):
    """`stored` is the last state; `done` says whether the object is gone or waits for its grace period/finalizers."""

    stored: Stored[T]
    done: bool


class Api(Protocol):
    """Raises `orch.errors.ApiError`. Objects go in as typed objects; patches as plain data."""

    async def get(
        self,
        context: RequestContext,
        kind: Kind[T],
        namespace: str,
        name: str,
        *,
        resource_version: str = "",
        subresource: str = "",
    ) -> Stored[T]: ...

    async def list(
        self, context: RequestContext, kind: Kind[T], namespace: str, options: ListOptions
    ) -> Listing[T]: ...

    def watch(
        self, context: RequestContext, kind: Kind[T], namespace: str, options: WatchOptions
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[StoredEvent[T]]]]:
        """Batches: everything that is pending for this watcher at once."""

    async def create(
        self, context: RequestContext, kind: Kind[T], namespace: str, obj: T, options: WriteOptions
    ) -> Stored[T]: ...

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
    ) -> Stored[T]: ...

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
    ) -> Stored[T]: ...

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
        """Server-side apply: `config` is plain data; the object is created when it is not there."""

    async def delete(
        self, context: RequestContext, kind: Kind[T], namespace: str, name: str, options: DeleteOptions
    ) -> Deleted[T]: ...

    async def delete_collection(
        self, context: RequestContext, kind: Kind[T], namespace: str, selection: ListOptions, options: DeleteOptions
    ) -> Listing[T]: ...

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
        """binding and eviction, answered by a Status; token, answered by a TokenRequest."""

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
        """For what is no object: exec, log, non-resource paths (resource = the path). Raises Forbidden."""


Authorizer = Callable[[RequestContext, str, str, str, str, str, str], Awaitable[str]]
"""(context, verb, group, resource, subresource, namespace, name) -> empty when allowed, else the reason why not."""
