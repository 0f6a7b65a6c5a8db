"""The verbs on objects: HTTP in, `Api` call, HTTP out. Knows no kind and no class; watch is in `watches.py`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp.web import StreamResponse

from controlplane.apiserver import query as parameters
from controlplane.apiserver import stored_response
from controlplane.apiserver.bodies import (
    Body,
    decode_delete_options,
    decode_object,
    decode_patch,
    decode_plain,
    read_body,
)
from controlplane.apiserver.call import Call
from controlplane.apiserver.forms import object_body, other_list_body
from controlplane.apiserver.lists import Lists
from controlplane.apiserver.negotiation import Form
from controlplane.apiserver.paths import verb_of
from controlplane.apiserver.responses import (
    GZIP_MIN_BYTES,
    gzip_large,
    json_response,
    plain_response,
    success_status,
    yaml_response,
)
from controlplane.apiserver.stored_response import DateText, StoredResponse
from controlplane.registry.interface import Api, Listing, Stored, WriteOptions
from controlplane.registry.metadata import as_new
from orch.client.client import PatchType
from orch.errors import AlreadyExists, BadRequest, NotFound
from orch.kit.clock import Clock

RETURNED_WHEN_DELETED = frozenset({"pods", "services", "serviceaccounts"})
"""Resources of the core group whose delete answers with the object; others answer with a Status (Kubernetes'
ReturnDeletedObject)."""
YAML_LIST_MAX_BYTES = 1024 * 1024
"""YAML is written by a slow encoder on the event loop; larger lists are to be read as JSON."""

Handler = Callable[[Call], Awaitable[StreamResponse]]


class Objects:
    """Handlers of one server. Each reads the body itself, so that the size limit is one place."""

    def __init__(self, api: Api, clock: Clock, body_max_bytes: int) -> None:
        self._api = api
        self._clock = clock
        self._body_max_bytes = body_max_bytes
        self._lists = Lists()
        self._date = DateText(clock)

    async def get(self, call: Call) -> StreamResponse:
        path = call.path
        stored = await self._api.get(
            call.context,
            call.kind,
            path.namespace,
            path.name,
            resource_version=call.query.text("resourceVersion"),
            subresource=path.subresource,
        )
        return self._object(call, stored)

    async def list(self, call: Call) -> StreamResponse:
        options = parameters.list_options(call.query)
        return await self._listing(call, await self._api.list(call.context, call.kind, call.path.namespace, options))

    async def create(self, call: Call) -> StreamResponse:
        body, options = await self._body(call), self._write_options(call)
        obj = self._decode(call, body, options)
        stored = await self._api.create(call.context, call.kind, call.path.namespace, obj, options)
        return self._object(call, stored, 201)

    async def update(self, call: Call) -> StreamResponse:
        body, options, path = await self._body(call), self._write_options(call), call.path
        obj = self._decode(call, body, options)
        try:
            return await self._updated(call, obj, options)
        except NotFound:
            if path.subresource or not call.kind.stored.created_by_put:
                raise
        new = as_new(call.kind, obj, path.name)
        try:
            stored = await self._api.create(call.context, call.kind, path.namespace, new, options)
        except AlreadyExists:  # made by somebody else meanwhile
            return await self._updated(call, obj, options)
        return self._object(call, stored, 201)

    async def _updated(self, call: Call, obj: Any, options: WriteOptions) -> StreamResponse:
        path = call.path
        stored = await self._api.update(
            call.context, call.kind, path.namespace, path.name, obj, options, subresource=path.subresource
        )
        return self._object(call, stored)

    async def patch(self, call: Call) -> StreamResponse:
        path = call.path
        patch_type, patch = decode_patch(await self._body(call))
        if patch_type is PatchType.APPLY:
            return await self._apply(call, patch)
        stored = await self._api.patch(
            call.context,
            call.kind,
            path.namespace,
            path.name,
            patch,
            patch_type,
            self._write_options(call),
            subresource=path.subresource,
        )
        return self._object(call, stored)

    async def _apply(self, call: Call, config: Any) -> StreamResponse:
        path, options = call.path, parameters.apply_options(call.query)
        applied = await self._api.apply(
            call.context, call.kind, path.namespace, path.name, config, options, subresource=path.subresource
        )
        return self._object(call, applied.stored, 201 if applied.created else 200)

    async def delete(self, call: Call) -> StreamResponse:
        kind, path = call.kind, call.path
        options = parameters.delete_options(call.query, decode_delete_options(await self._body(call)))
        deleted = await self._api.delete(call.context, kind, path.namespace, path.name, options)
        if not deleted.done or (kind.group == "" and kind.plural in RETURNED_WHEN_DELETED):
            return self._object(call, deleted.stored)
        uid = deleted.stored.obj.metadata.uid
        status = success_status(name=path.name, group=kind.group, resource=kind.plural, uid=uid)
        return plain_response(status, warnings=call.warnings)

    async def delete_collection(self, call: Call) -> StreamResponse:
        options = parameters.delete_options(call.query, decode_delete_options(await self._body(call)))
        selection = parameters.list_options(call.query)
        listing = await self._api.delete_collection(call.context, call.kind, call.path.namespace, selection, options)
        return await self._listing(call, listing)

    async def create_subresource(self, call: Call) -> StreamResponse:
        """binding, eviction, token: 201."""
        path = call.path
        body = decode_plain(await self._body(call))
        options = self._write_options(call)
        answer = await self._api.create_subresource(
            call.context, call.kind, path.namespace, path.name, path.subresource, body, options
        )
        return plain_response(answer, status=201, warnings=call.warnings)

    async def _body(self, call: Call) -> Body:
        """Authorized before it is read: a 403 comes before complaints about the body, and strangers cost no parsing."""
        path = call.path
        await self._api.authorize(
            call.context,
            verb_of(call.request.method, path),
            path.group,
            path.plural,
            namespace=path.namespace,
            name=path.name,
            subresource=path.subresource,
        )
        return await read_body(call.request, self._body_max_bytes)

    def _write_options(self, call: Call) -> WriteOptions:
        agent = call.request.headers.get("User-Agent", "")
        return parameters.write_options(call.query, call.request.method, agent)

    def _decode(self, call: Call, body: Body, options: WriteOptions) -> Any:
        return decode_object(
            call.kind,
            body,
            subresource=call.path.subresource,
            validation=options.field_validation,
            warn=call.context.warn,
        )

    def _object(self, call: Call, stored: Stored[Any], status: int = 200) -> StreamResponse:
        wanted = call.wanted
        if (wanted.form is Form.OBJECT and not wanted.yaml) or call.path.subresource == "scale":
            return self._plain(call, stored.data, status)
        body = object_body(call.kind, stored, wanted, call.query.text("includeObject"), self._clock.now())
        if wanted.yaml:
            return yaml_response(body, status=status, warnings=call.warnings)
        return json_response(body, status=status, warnings=call.warnings)

    def _plain(self, call: Call, data: bytes, status: int) -> StreamResponse:
        is_plain = not call.warnings and not call.query.flag("pretty")
        if is_plain and len(data) < GZIP_MIN_BYTES and stored_response.fits(call.request):
            return StoredResponse(data, status, self._date.now())
        return json_response(data, status=status, warnings=call.warnings)

    async def _listing(self, call: Call, listing: Listing[Any]) -> StreamResponse:
        wanted = call.wanted
        if wanted.form is Form.OBJECT and not wanted.yaml:
            return await self._lists.send(call.request, call.kind, listing, call.warnings)
        include, now = call.query.text("includeObject"), self._clock.now()
        body = other_list_body(call.kind, listing, wanted, include, now)
        if not wanted.yaml:
            return await gzip_large(call.request, json_response(body, warnings=call.warnings))
        if len(body) > YAML_LIST_MAX_BYTES:
            raise BadRequest("the list is too large to be written as YAML: accept application/json")
        return yaml_response(body, warnings=call.warnings)


def verbs_of(objects: Objects) -> Mapping[tuple[str, str], Handler]:
    """(method, what) -> handler; `what` is "collection", "object" or a subresource's name."""
    changes: dict[str, Handler] = {"GET": objects.get, "PUT": objects.update, "PATCH": objects.patch}
    verbs: dict[tuple[str, str], Handler] = {
        ("GET", "collection"): objects.list,
        ("POST", "collection"): objects.create,
        ("DELETE", "collection"): objects.delete_collection,
        ("DELETE", "object"): objects.delete,
        ("POST", "binding"): objects.create_subresource,
        ("POST", "eviction"): objects.create_subresource,
        ("POST", "token"): objects.create_subresource,
        ("PUT", "finalize"): objects.update,
    }
    for what in ("object", "status", "scale", "ephemeralcontainers", "resize"):
        verbs |= {(method, what): handler for method, handler in changes.items()}
    return verbs
