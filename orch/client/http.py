"""`HttpClient`: the Client Protocol over HTTPS, for server parts that run apart from the API server.

Uses aiohttp, so the CLI must not import it. Every failure is an `orch.errors.ApiError`: a Status body as the server
sent it, a connection that failed as ServiceUnavailable. No retries here; callers decide.
"""

import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, Object
from orch.api.subresources import Scale
from orch.client.client import EventType, ListPage, PatchType, WatchEvent
from orch.errors import ApiError, InternalError, ServiceUnavailable, Timeout, from_status
from orch.kit.tls import load_client_certificate
from orch.kubeconfig import Access

T = TypeVar("T", bound=Object)

SCALE: Kind[Scale] = Kind("autoscaling", "v1", "Scale", "scales", StructCodec(Scale))

REQUEST_TIMEOUT_S = 60.0
WATCH_SILENCE_MAX_S = 600.0
"""A watch without events or bookmarks for so long is taken for dead; the caller resumes it."""
CONNECT_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 256
JSON_TYPE = "application/json"
WHOLE_BODY_MAX_BYTES = 1024 * 1024
"""aiohttp writes larger bodies piece by piece when they come as a file."""


class _ListHead(msgspec.Struct):
    resourceVersion: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remainingItemCount: int | None = None


class _List(msgspec.Struct):
    metadata: _ListHead
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class HttpClient:
    """Made by `connect`. Shares its connections among all calls."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server.rstrip("/")

    async def get(self, kind: Kind[T], name: str, namespace: str = "", *, resource_version: str = "") -> T:
        body = await self._call("GET", object_path(kind, namespace, name), {"resourceVersion": resource_version})
        return _object(kind, body)

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
        parameters = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "resourceVersion": resource_version,
            "limit": str(limit) if limit else "",
            "continue": continue_token,
        }
        body = await self._call("GET", object_path(kind, namespace), parameters)
        page = msgspec.json.decode(body, type=_List)
        items = tuple(_object(kind, bytes(item)) for item in page.items or ())
        head = page.metadata
        return ListPage(items, head.resourceVersion, head.continue_, head.remainingItemCount)

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        path = object_path(kind, obj.metadata.namespace)
        body = await self._call("POST", path, _dry_run(dry_run), kind.codec.encode(obj))
        return _object(kind, body)

    async def update(self, kind: Kind[T], obj: T, *, subresource: str = "", dry_run: bool = False) -> T:
        path = object_path(kind, obj.metadata.namespace, obj.metadata.name, subresource)
        body = await self._call("PUT", path, _dry_run(dry_run), kind.codec.encode(obj))
        return _object(_answered(kind, subresource), body)

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
        path = object_path(kind, namespace, name, subresource)
        body = await self._call("PATCH", path, {}, msgspec.json.encode(patch), patch_type.value)
        return _object(_answered(kind, subresource), body)

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", *, options: DeleteOptions | None = None
    ) -> None:
        data = msgspec.json.encode(options) if options is not None else b""
        await self._call("DELETE", object_path(kind, namespace, name), {}, data)

    async def create_subresource(
        self, kind: Kind[Any], name: str, namespace: str, subresource: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        path = object_path(kind, namespace, name, subresource)
        answer: dict[str, Any] = msgspec.json.decode(await self._call("POST", path, {}, msgspec.json.encode(body)))
        return answer

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
        parameters = {
            "watch": "true",
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true" if bookmarks else "",
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=WATCH_SILENCE_MAX_S)
        url = self._url(object_path(kind, namespace), parameters)
        try:
            async with self._session.get(url, timeout=timeout) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read())
                yield _events(kind, response)
        except aiohttp.ClientError as error:
            raise ServiceUnavailable(f"the API server at {self._server} cannot be reached: {error}") from error

    async def _call(
        self, method: str, path: str, parameters: Mapping[str, str], data: bytes = b"", media: str = JSON_TYPE
    ) -> bytes:
        headers = {"Content-Type": media} if data else {}
        try:
            async with self._session.request(
                method, self._url(path, parameters), data=_payload(data), headers=headers
            ) as response:
                body = await response.read()
        except aiohttp.ClientError as error:
            raise ServiceUnavailable(f"the API server at {self._server} cannot be reached: {error}") from error
        except TimeoutError as error:
            raise Timeout(f"the API server at {self._server} did not answer within {REQUEST_TIMEOUT_S:g} s") from error
        if response.status >= 400:
            raise _error(response.status, body)
        return body

    def _url(self, path: str, parameters: Mapping[str, str]) -> URL:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value)
        return URL(f"{self._server}{path}{'?' if query else ''}{query}", encoded=True)


@asynccontextmanager
async def connect(access: Access, *, user_agent: str) -> AsyncIterator[HttpClient]:
    """A client as the identity in `access`. Connects when first used."""
    connector = aiohttp.TCPConnector(ssl=tls_context(access), limit=CONNECTIONS_MAX)
    headers = {"User-Agent": user_agent, "Accept": JSON_TYPE}
    if access.token:
        headers["Authorization"] = f"Bearer {access.token}"
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield HttpClient(session, access.server)


def tls_context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca_pem.decode() if access.ca_pem else None)
    if not access.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if access.cert_pem:
        load_client_certificate(context, access.cert_pem, access.key_pem)
    return context


def object_path(kind: Kind[Any], namespace: str, name: str = "", subresource: str = "") -> str:
    """The raw path of an object, or of a collection when `name` is empty."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    tail = "".join(f"/{quote(part, safe='')}" for part in (kind.plural, name, subresource) if part)
    return root + scope + tail


def _answered(kind: Kind[T], subresource: str) -> Kind[T]:
    """The kind of the answer: the scale subresource takes and gives Scale, as `LocalClient` does."""
    return cast(Kind[T], SCALE) if subresource == "scale" else kind


def _object(kind: Kind[T], data: bytes) -> T:
    """A newer server may send fields that we do not know; they are dropped."""
    try:
        return kind.codec.decode(data)
    except msgspec.MsgspecError:
        return kind.codec.decode_lenient(data).obj


async def _events(kind: Kind[T], response: aiohttp.ClientResponse) -> AsyncIterator[WatchEvent[T]]:
    """Ends when the server ends the stream, also when it is cut: the caller resumes from the last revision."""
    rest = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _event(kind, line)
    except (aiohttp.ClientError, TimeoutError):
        return


def _event(kind: Kind[T], line: bytes) -> WatchEvent[T]:
    event = msgspec.json.decode(line, type=_Event)
    data = bytes(event.object)
    if event.type == "ERROR":
        raise from_status(msgspec.json.decode(data))
    return WatchEvent(EventType(event.type), _object(kind, data))


def _error(code: int, body: bytes) -> ApiError:
    try:
        status = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        status = {}
    if status.get("kind") == "Status":
        return from_status(status)
    return InternalError(f"the server answered {code}: {body[:200].decode(errors='replace')}")


def _payload(data: bytes) -> bytes | io.BytesIO | None:
    return io.BytesIO(data) if len(data) > WHOLE_BODY_MAX_BYTES else data or None


def _dry_run(asked: bool) -> dict[str, str]:
    return {"dryRun": "All" if asked else ""}
