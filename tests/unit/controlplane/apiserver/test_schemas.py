"""OpenAPI over HTTP: forms, ETags, and documents that follow the kind table."""

import json
from typing import Any

import aiohttp
import pytest

from controlplane.apiserver import openapi
from controlplane.apiserver.schemas import V2_PROTO_TYPES, Schemas
from orch.api.codec import UntypedCodec
from orch.api.kind import Kind
from orch.api.kinds import builtin_kinds

THING: Kind[Any] = Kind("example.org", "v1", "Thing", "things", UntypedCodec("example.org/v1", "Thing"))


@pytest.mark.parametrize("accept", V2_PROTO_TYPES)
async def test_v2_as_protobuf(http: aiohttp.ClientSession, accept: str) -> None:
    async with http.get("/openapi/v2", headers={"Accept": accept, "Accept-Encoding": "gzip"}) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, V2_PROTO_TYPES[0])
        assert await response.read() == openapi.build_v2_proto(builtin_kinds())


async def test_v2_as_json_and_not_again(http: aiohttp.ClientSession) -> None:
    async with http.get("/openapi/v2") as response:
        assert json.loads(await response.read())["swagger"] == "2.0"
        etag = response.headers["ETag"]
    async with http.get("/openapi/v2", headers={"If-None-Match": etag}) as response:
        assert response.status == 304


async def test_v3_index_leads_to_documents(http: aiohttp.ClientSession) -> None:
    async with http.get("/openapi/v3") as response:
        paths = json.loads(await response.read())["paths"]
    for path in ("api/v1", "apis/apps/v1"):
        async with http.get(paths[path]["serverRelativeURL"]) as response:
            assert json.loads(await response.read())["openapi"] == "3.0.0"
    async with http.get("/openapi/v3/apis/nothing/v1") as response:
        assert response.status == 404
    async with http.get("/openapi/v3", headers={"Accept": "application/xml"}) as response:
        assert response.status == 406


async def test_a_document_asked_for_by_its_hash_may_be_kept_for_ever(http: aiohttp.ClientSession) -> None:
    async with http.get("/openapi/v3") as response:
        address = json.loads(await response.read())["paths"]["api/v1"]["serverRelativeURL"]
    async with http.get(address, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Cache-Control"].endswith("immutable")
        assert response.headers["Content-Encoding"] == "gzip"
        etag = response.headers["ETag"].strip('"')
        assert address.endswith(f"?hash={etag}")
    async with http.get("/openapi/v3/api/v1?hash=OLD", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (301, address)
    async with http.get("/openapi/v3/api/v1") as response:
        assert "immutable" not in response.headers["Cache-Control"]


async def test_documents_are_kept_until_the_table_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    original = openapi.v3_index
    monkeypatch.setattr(openapi, "v3_index", lambda kinds: built.append("index") or original(kinds))
    kinds = builtin_kinds()
    schemas = Schemas(kinds)
    first = await schemas.find(["openapi", "v3"], "")
    assert await schemas.find(["openapi", "v3"], "*/*") == first
    assert built == ["index"]
    kinds.register(THING)
    assert await schemas.find(["openapi", "v3"], "") != first
    assert built == ["index", "index"]
