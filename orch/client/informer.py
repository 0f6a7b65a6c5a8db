"""A local copy of the objects of one kind, kept up to date: list once, then watch. Reads only, on any `Client`.

Handlers get every change in order, synchronously, after the cache holds it; they must not block and take note of keys,
not of decisions. After an interruption the watch resumes from the last revision; below the kept history the informer
lists again and reports the difference, so that a handler never misses the end of an object.

Invariant: `revision` never moves past a change that the cache does not hold.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

import structlog

from orch.api.kind import Kind
from orch.api.meta import Object
from orch.client.client import Client, EventType, WatchEvent
from orch.errors import ApiError, Expired
from orch.kit.backoff import Backoff

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Object)
Key = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped kinds."""

LIST_PAGE_SIZE = 500
RETRY_DELAY_MIN_S = 0.05
RETRY_DELAY_MAX_S = 5.0


class Index(Generic[T]):
    """Objects by what a function says of them. Values keep the order in which the objects came."""

    def __init__(self, values_of: Callable[[T], Iterable[str]]) -> None:
        self._values_of = values_of
        self._found: dict[str, dict[Key, T]] = {}

    def replace(self, key: Key, old: T | None, new: T | None) -> None:
        values = () if new is None else tuple(self._values_of(new))
        for value in () if old is None else self._values_of(old):
            if value not in values:
                self._drop(value, key)
        for value in values:
            self._found.setdefault(value, {})[key] = cast(T, new)

    def _drop(self, value: str, key: Key) -> None:
        found = self._found.get(value, {})
        found.pop(key, None)
        if not found:
            self._found.pop(value, None)

    def get(self, value: str) -> tuple[T, ...]:
        return tuple(self._found.get(value, {}).values())

    def count(self, value: str) -> int:
        return len(self._found.get(value, {}))


class Informer(Generic[T]):
    """`run` is a background loop that its owner keeps as a task; reads are valid once `synced` is set."""

    def __init__(
        self, client: Client, kind: Kind[T], namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self.revision = 0
        self._client, self._namespace = client, namespace
        self._selection = {"label_selector": label_selector, "field_selector": field_selector}
        self._items: dict[Key, T] = {}
        self._uids: dict[str, T] = {}
        self._namespaces = Index[T](lambda obj: (obj.metadata.namespace,))
        self._indexes: dict[str, Index[T]] = {}
        self._handlers: list[Callable[[T | None, T | None], None]] = []
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._must_list = True
        self._backoff = Backoff[str](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)

    def add_handler(self, handler: Callable[[T | None, T | None], None]) -> None:
        """`handler(old, new)`; what the cache already holds is reported at once as new."""
        self._handlers.append(handler)
        for obj in tuple(self._items.values()):
            handler(None, obj)

    def add_index(self, name: str, values_of: Callable[[T], Iterable[str]]) -> Index[T]:
        """The index of that name, made on first use; one name stands for one function."""
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = Index(values_of)
            for key, obj in self._items.items():
                index.replace(key, None, obj)
        return index

    def indexed(self, name: str, value: str) -> tuple[T, ...]:
        return self._indexes[name].get(value)

    def get(self, namespace: str, name: str) -> T | None:
        return self._items.get((namespace, name))

    def by_uid(self, uid: str) -> T | None:
        return self._uids.get(uid)

    def by_namespace(self, namespace: str) -> tuple[T, ...]:
        return self._namespaces.get(namespace)

    def items(self) -> Iterable[T]:
        return tuple(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    async def reached(self, revision: int) -> None:
        """Returns when the cache holds every change of this kind up to `revision`."""
        await self._until(lambda: self.revision >= revision)

    async def deletion_seen(self, namespace: str, name: str, uid: str) -> None:
        """Returns when the cache knows that the object of this uid is gone or being deleted."""

        def seen() -> bool:
            obj = self._items.get((namespace, name))
            return obj is None or obj.metadata.uid != uid or obj.metadata.deletion_timestamp is not None

        await self._until(seen)

    async def run(self) -> None:
        """Lists and watches until cancelled; API errors are retried with backoff."""
        while True:
            try:
                if self._must_list:
                    await self._list()
                await self._follow()
            except Expired:
                log.info("watch_expired", kind=self.kind.resource, revision=self.revision)
                self._must_list = True
            except ApiError as error:
                log.warning("watch_failed", kind=self.kind.resource, revision=self.revision, error=str(error))
            await asyncio.sleep(self._backoff.next_s("watch"))

    async def _list(self) -> None:
        objects: dict[Key, T] = {}
        revision, token = "", ""
        while not revision or token:
            page = await self._client.list(
                self.kind, self._namespace, limit=LIST_PAGE_SIZE, continue_token=token, **self._selection
            )
            objects |= {_key(obj): obj for obj in page.items}
            revision, token = page.resource_version, page.continue_token
        for key in [key for key in self._items if key not in objects]:
            self._remove(key)
        for obj in objects.values():
            self._put(obj)
        self._must_list = False
        self._advance(int(revision))
        self.synced.set()

    async def _follow(self) -> None:
        watch = self._client.watch(
            self.kind, self._namespace, resource_version=str(self.revision), bookmarks=True, **self._selection
        )
        async with watch as events:
            await self._apply(events)

    async def _apply(self, events: AsyncIterator[WatchEvent[T]]) -> None:
        async for event in events:
            if event.type == EventType.DELETED:
                self._remove(_key(event.obj))
            elif event.type != EventType.BOOKMARK:
                self._put(event.obj)
            self._advance(int(event.obj.metadata.resource_version))
            self._backoff.forget("watch")

    def _put(self, new: T) -> None:
        key = _key(new)
        old = self._items.get(key)
        if old is not None and old.metadata.uid != new.metadata.uid:
            self._remove(key)
            old = None
        if old is not None and old.metadata.resource_version == new.metadata.resource_version:
            return
        for index in (self._namespaces, *self._indexes.values()):
            index.replace(key, old, new)
        self._items[key] = self._uids[new.metadata.uid] = new
        self._report(old, new)

    def _remove(self, key: Key) -> None:
        old = self._items.pop(key, None)
        if old is None:
            return
        self._uids.pop(old.metadata.uid, None)
        for index in (self._namespaces, *self._indexes.values()):
            index.replace(key, old, None)
        self._report(old, None)

    def _report(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        waiting, self._waiters = self._waiters, []
        for holds, future in waiting:
            if future.done():
                continue
            if holds():
                future.set_result(None)
            else:
                self._waiters.append((holds, future))

    async def _until(self, holds: Callable[[], bool]) -> None:
        if holds():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((holds, future))
        await future


class Informers:
    """One informer per kind, shared by all that need the kind. Made before `run`, indexes and handlers too."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._by_resource: dict[tuple[str, str], Informer[Any]] = {}

    def of(self, kind: Kind[T]) -> Informer[T]:
        resource = (kind.api_version, kind.plural)
        informer = self._by_resource.get(resource)
        if informer is None:
            informer = self._by_resource[resource] = Informer(self._client, kind)
        return informer

    def has(self, kind: Kind[Any]) -> bool:
        return (kind.api_version, kind.plural) in self._by_resource

    def __iter__(self) -> Iterator[Informer[Any]]:
        return iter(tuple(self._by_resource.values()))

    async def synced(self) -> None:
        for informer in tuple(self._by_resource.values()):
            await informer.synced.wait()


def _key(obj: Object) -> Key:
    return obj.metadata.namespace, obj.metadata.name
