"""LIST: which revision, which objects, which page. Follows "Resource versions" and "Retrieving large results sets in
chunks" of the Kubernetes API concepts.

A continue token names the revision of the first page and the last key given out. Later pages come from the cache while
nothing of the kind has changed, else from the store at that very revision, until it is compacted: then 410 Expired.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog

from controlplane.registry.interface import Listing, ListOptions, Stored
from controlplane.store import keys
from controlplane.store.backend import Backend, Compacted, Entry, FutureRevision, Page, StoreError
from controlplane.store.cache import WatchCache, too_large
from controlplane.store.objects import ObjectFormat
from controlplane.store.shelf import INDEXED_FIELDS, Selection, unreadable
from controlplane.store.transform import UnreadableValue
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.api.selectors import FieldSelector, Selector, parse_field_selector, parse_label_selector
from orch.errors import BadRequest, Cause, Expired, Invalid, ServiceUnavailable

T = TypeVar("T", bound=Object)
log = structlog.get_logger(__name__)

EXACT = "Exact"
NOT_OLDER_THAN = "NotOlderThan"
TOKEN_VERSION = "meta.k8s.io/v1"
NEWEST = -1
"""In a token instead of a revision: the rest of the list as it is when it is asked for."""
REVISION_MAX = 2**63 - 1
STORE_PAGE_ENTRIES = 500


class _Token(msgspec.Struct):
    """`start` is namespace/name of the last object given out."""

    v: str
    rv: int
    start: str


def selection_of(kind: Kind[Any], namespace: str, label_selector: str, field_selector: str) -> Selection:
    """Raises BadRequest."""
    labels, fields = parse_label_selector(label_selector), parse_field_selector(field_selector)
    index_path = INDEXED_FIELDS.get((kind.group, kind.plural), "")
    return Selection(
        namespace=namespace,
        name=fields.value_of("metadata.name") or "",
        index_value=fields.value_of(index_path) or "",
        predicate=_predicate(kind, labels, fields),
    )


@dataclass(frozen=True, slots=True)
class _Predicate:
    """Equal when the selectors are, so that watchers who ask for the same are recognized."""

    labels: Selector
    fields: FieldSelector
    form: str
    on_fields: Callable[[Object], bool] = field(compare=False)

    def __call__(self, obj: Object) -> bool:
        return self.labels.matches(obj.metadata.labels) and self.on_fields(obj)


def _predicate(kind: Kind[Any], labels: Selector, fields: FieldSelector) -> Callable[[Object], bool] | None:
    if labels.is_empty and not fields.requirements:
        return None
    return _Predicate(labels, fields, kind.api_version, fields.on(kind))


def parse_revision(text: str) -> int:
    """Raises BadRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(REVISION_MAX)) and int(text) <= REVISION_MAX):
        raise BadRequest(f'resourceVersion: Invalid value: "{text}": must be a non-negative integer of 64 bits')
    return int(text)


async def wait_for(cache: WatchCache, resource_version: str) -> None:
    """Until the cache may answer a read of this resourceVersion: "" newest, "0" any, else not older than it."""
    if resource_version == "":
        await cache.fresh()
    elif resource_version == "0":
        await cache.synced.wait()
    else:
        await cache.not_older_than(parse_revision(resource_version))


@dataclass(frozen=True)
class Lister:
    cache: WatchCache
    backend: Backend
    object_format: ObjectFormat

    async def list(self, kind: Kind[T], namespace: str, options: ListOptions) -> Listing[T]:
        """Stored objects; `kind` is the form by whose fields they are selected. Raises BadRequest, Invalid, Expired,
        Timeout."""
        selection = selection_of(kind, namespace, options.label_selector, options.field_selector)
        kind = kind.stored
        _check_match(options)
        if options.continue_token:
            return await self._continued(kind, selection, options.limit, _parse_token(options))
        if _is_exact(options):
            return await self._at(kind, selection, options.limit, parse_revision(options.resource_version), "")
        await wait_for(self.cache, options.resource_version)
        return self._from_cache(kind, selection, options.limit, self.cache.revision, "")

    async def _continued(self, kind: Kind[T], selection: Selection, limit: int, token: _Token) -> Listing[T]:
        """Raises Expired with a token for the rest as it is now, as kube-apiserver gives one."""
        if token.rv == NEWEST:
            await self.cache.fresh()
            return self._from_cache(kind, selection, limit, self.cache.revision, token.start)
        try:
            return await self._at(kind, selection, limit, token.rv, token.start)
        except Expired:
            raise Expired(
                "The provided continue parameter is too old: the state that it continues has been compacted. Start "
                "the list without it, or go on with the token of this answer, which gives the rest as it is now: "
                "objects changed since the first page may be missing or be there twice",
                continue_token=_encode_token(NEWEST, token.start),
            ) from None

    async def _at(self, kind: Kind[T], selection: Selection, limit: int, revision: int, start: str) -> Listing[T]:
        """The state at exactly `revision`."""
        await self.cache.not_older_than(revision)
        if self.cache.shelf(kind).changed_revision <= revision:
            return self._from_cache(kind, selection, limit, revision, start)
        return await self._from_store(kind, selection, limit, revision, start)

    def _from_cache(self, kind: Kind[T], selection: Selection, limit: int, revision: int, start: str) -> Listing[T]:
        items: Sequence[Stored[T]] = self.cache.select(kind, selection)
        if start:
            items = [item for item in items if _item_key(item) > start]
        if not limit or len(items) <= limit:
            return Listing(items, revision)
        page = items[:limit]
        remaining = None if selection.name or selection.predicate else len(items) - limit
        return Listing(page, revision, _make_token(revision, page[-1]), remaining)

    async def _from_store(
        self, kind: Kind[T], selection: Selection, limit: int, revision: int, start: str
    ) -> Listing[T]:
        prefix = keys.list_prefix(kind, selection.namespace)
        last, more = f"{keys.list_prefix(kind, '')}{start}" if start else "", True
        found: list[Stored[T]] = []
        while more and (not limit or len(found) <= limit):
            page = await self._store_page(prefix, last, revision)
            stored = (self._opened(kind, entry) for entry in page.entries)
            found += [item for item in stored if selection.matches(item.obj)]
            more, last = page.more, page.entries[-1].key if page.entries else last
        if not limit or len(found) <= limit:
            return Listing(found, revision)
        return Listing(found[:limit], revision, _make_token(revision, found[limit - 1]))

    def _opened(self, kind: Kind[T], entry: Entry) -> Stored[T]:
        """Raises InternalError, as a list from the cache does."""
        try:
            return self.object_format.open(kind, entry)
        except UnreadableValue as error:
            log.error("stored_object_unreadable", key=entry.key, error=str(error))
            raise unreadable(kind, entry.key.removeprefix(keys.list_prefix(kind, ""))) from error

    async def _store_page(self, prefix: str, last: str, revision: int) -> Page:
        try:
            return await self.backend.range(prefix, start_after=last, limit=STORE_PAGE_ENTRIES, revision=revision)
        except Compacted:
            raise Expired(
                "The provided resourceVersion is too old: its history has been compacted. Start the list without it"
            ) from None
        except FutureRevision:
            raise too_large(revision, self.cache.revision) from None
        except StoreError as error:
            raise ServiceUnavailable(f"the store does not answer: {error}", retry_after_s=1) from error


def _check_match(options: ListOptions) -> None:
    """Raises Invalid, as apiserver's ValidateListOptions."""
    match, version = options.resource_version_match, options.resource_version
    why = ""
    if match and options.continue_token:
        why = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    elif match and not version:
        why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match not in ("", EXACT, NOT_OLDER_THAN):
        why = f'Unsupported value: "{match}": supported values: "{EXACT}", "{NOT_OLDER_THAN}"'
    elif match == EXACT and version == "0":
        why = 'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
    if why:
        raise Invalid(
            f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {why}',
            group="meta.k8s.io",
            kind="ListOptions",
            causes=[Cause(_cause_of(why), why, "resourceVersionMatch")],
        )


def _cause_of(why: str) -> str:
    return "FieldValueForbidden" if why.startswith("Forbidden") else "FieldValueNotSupported"


def _is_exact(options: ListOptions) -> bool:
    """A page of a named revision means exactly that revision, also without saying so."""
    version = options.resource_version
    if not version or version == "0":
        return False
    return options.resource_version_match == EXACT or bool(options.limit and not options.resource_version_match)


def _item_key(item: Stored[Any]) -> str:
    return f"{item.obj.metadata.namespace}/{item.obj.metadata.name}"


def _make_token(revision: int, last: Stored[Any]) -> str:
    return _encode_token(revision, _item_key(last))


def _encode_token(revision: int, start: str) -> str:
    token = msgspec.json.encode(_Token(TOKEN_VERSION, revision, start))
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _parse_token(options: ListOptions) -> _Token:
    if options.resource_version not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    text = options.continue_token
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadRequest("continue key is not valid") from None
    if token.v != TOKEN_VERSION or (token.rv < 1 and token.rv != NEWEST) or token.start.count("/") != 1:
        raise BadRequest("continue key is not valid")
    return token
