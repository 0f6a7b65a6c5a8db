"""Paths that address no object: discovery and OpenAPI. GET only; authorized as non-resource paths."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp.web import BaseRequest, StreamResponse

from controlplane.apiserver import discovery
from controlplane.apiserver.documents import document_response, moved_response, prepared
from controlplane.apiserver.negotiation import Form, negotiate
from controlplane.apiserver.query import Query
from controlplane.apiserver.responses import JSON_TYPE, no_such_path
from controlplane.apiserver.schemas import Schemas
from controlplane.registry.interface import Api, RequestContext
from orch.api.kind import KindTable
from orch.errors import MethodNotAllowed

ROOT_PATHS = ("/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version")


Document = tuple[bytes, str]
"""A body and its media type."""


class NonResources:
    """Discovery is made from the kind table at request time; an ETag saves the sending, not the making."""

    def __init__(self, api: Api, kinds: KindTable, documents: Mapping[str, Document]) -> None:
        self._api = api
        self._documents = documents
        self._kinds = kinds
        self._schemas = Schemas(kinds)

    async def serve(
        self, request: BaseRequest, context: RequestContext, parts: list[str], query: Query
    ) -> StreamResponse:
        """Raises Forbidden, NotFound, MethodNotAllowed, NotAcceptable."""
        await self._api.authorize(context, request.method.lower(), "", "/" + "/".join(parts))
        if request.method != "GET":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if (document := self._documents.get("/" + "/".join(parts))) is not None:
            return document_response(request, prepared(*document))
        if parts[0] == "openapi":
            return await self._openapi(request, parts, query)
        return await self._discovery(request, parts)

    async def _openapi(self, request: BaseRequest, parts: list[str], query: Query) -> StreamResponse:
        found, asked = await self._schemas.find(parts, request.headers.get("Accept", "")), query.text("hash")
        if found is None:
            raise no_such_path()
        if asked and asked != found.hash and parts[1] == "v3":
            return moved_response("/" + "/".join(parts), found)
        return document_response(request, found, asked_hash=asked)

    async def _discovery(self, request: BaseRequest, parts: list[str]) -> StreamResponse:
        wanted = negotiate(request.headers.get("Accept", ""))
        if wanted.form is Form.DISCOVERY and parts in (["api"], ["apis"]):
            document = discovery.aggregated(self._kinds, wanted.version, core=parts == ["api"])
            media = f"application/json;g=apidiscovery.k8s.io;v={wanted.version};as=APIGroupDiscoveryList"
            return document_response(request, prepared(msgspec.json.encode(document), media))
        plain = self._plain(request, parts)
        if plain is None:
            raise no_such_path()
        return document_response(request, prepared(msgspec.json.encode(plain), JSON_TYPE))

    def _plain(self, request: BaseRequest, parts: list[str]) -> dict[str, Any] | None:
        match parts:
            case ["api"]:
                return discovery.api_versions(request.host)
            case ["apis"]:
                return discovery.group_list(self._kinds)
            case ["api", version]:
                return discovery.resource_list(self._kinds, "", version)
            case ["apis", group]:
                return discovery.group(self._kinds, group)
            case ["apis", group, version]:
                return discovery.resource_list(self._kinds, group, version)
            case [""]:
                return {"paths": self._paths()}
        return None

    def _paths(self) -> list[str]:
        versions = {f"/apis/{k.group}/{k.version}" if k.group else f"/api/{k.version}" for k in self._kinds}
        groups = {f"/apis/{k.group}" for k in self._kinds if k.group}
        return sorted({*ROOT_PATHS, *self._documents, *versions, *groups})
