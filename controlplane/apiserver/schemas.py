"""OpenAPI documents as they are asked for over HTTP, kept until the kind table changes."""

import asyncio
from collections.abc import Callable
from typing import Any

from controlplane.apiserver import openapi
from controlplane.apiserver.documents import Prepared, prepared
from controlplane.apiserver.negotiation import negotiate
from controlplane.apiserver.responses import JSON_TYPE
from orch.api.kind import Kind, KindTable

V2_PROTO_TYPES = (
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
)
"""Old clients write the second, which is no valid media type; the answer says the first."""

Build = Callable[[], bytes | None]


class Schemas:
    """`/openapi/v2`, `/openapi/v3` and what is below it."""

    def __init__(self, kinds: KindTable) -> None:
        self._kinds = kinds
        self._built_for: tuple[Kind[Any], ...] = ()
        self._built: dict[tuple[str, ...], Prepared] = {}

    async def find(self, parts: list[str], accept: str) -> Prepared | None:
        """None for an unknown path. Raises NotAcceptable."""
        is_proto = parts == ["openapi", "v2"] and any(media in accept for media in V2_PROTO_TYPES)
        if not is_proto:
            negotiate(accept)
        build = self._builder(parts, is_proto)
        if build is None:
            return None
        return await self._kept((*parts, str(is_proto)), build, V2_PROTO_TYPES[0] if is_proto else JSON_TYPE)

    def _builder(self, parts: list[str], is_proto: bool) -> Build | None:
        kinds = self._kinds
        match parts[1:]:
            case ["v2"]:
                return lambda: openapi.build_v2_proto(kinds) if is_proto else openapi.build_v2_json(kinds)
            case ["v3"]:
                return lambda: openapi.v3_index(kinds)
            case ["v3", "api", version]:
                return lambda: openapi.v3_document(kinds, "", version)
            case ["v3", "apis", group, version]:
                return lambda: openapi.v3_document(kinds, group, version)
        return None

    async def _kept(self, key: tuple[str, ...], build: Build, media: str) -> Prepared | None:
        """Unknown versions are not kept, since anybody may ask for any."""
        present = tuple(self._kinds)
        if len(present) != len(self._built_for) or any(map(_differ, present, self._built_for)):
            self._built_for, self._built = present, {}
        built, found = self._built, self._built.get(key)
        if found is None:
            found = await asyncio.to_thread(_prepared, build, media)
            if found is not None:
                built[key] = found
        return found


def _prepared(build: Build, media: str) -> Prepared | None:
    body = build()
    return None if body is None else prepared(body, media)


def _differ(one: Kind[Any], other: Kind[Any]) -> bool:
    return one is not other
