"""OpenAPI 3.0: an index, and one document per group and version."""

import hashlib
from typing import Any

import msgspec

from controlplane.apiserver.openapi.definitions import GVK, V3, Plain, definitions
from controlplane.apiserver.openapi.operations import Operation, by_path, root_path
from controlplane.apiserver.openapi.v2 import TITLE, VERSION
from orch.api.kind import KindTable


def v3_index(kinds: KindTable) -> bytes:
    """`/openapi/v3`: where each group-version's document is. The hash in the address lets clients keep documents."""
    versions = {root_path(kind): (kind.group, kind.version) for kind in kinds}
    paths = {
        root.removeprefix("/"): {"serverRelativeURL": f"/openapi/v3{root}?hash={_hash(kinds, group, version)}"}
        for root, (group, version) in sorted(versions.items())
    }
    return msgspec.json.encode({"paths": paths})


def v3_document(kinds: KindTable, group: str, version: str) -> bytes | None:
    """`/openapi/v3/api/v1`, `/openapi/v3/apis/<group>/<version>`; None when no kind is served there."""
    served = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    if not served:
        return None
    document = {
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": {path: _path_item(found) for path, found in by_path(served).items()},
        "components": {"schemas": definitions(served, V3)},
    }
    return msgspec.json.encode(document)


def _hash(kinds: KindTable, group: str, version: str) -> str:
    return hashlib.sha256(v3_document(kinds, group, version) or b"").hexdigest().upper()


def _path_item(found: list[Operation]) -> Plain:
    item = {operation.method: _operation(operation) for operation in found}
    names = found[0].path_parameters
    return item | ({"parameters": [_path_parameter(name) for name in names]} if names else {})


def _operation(operation: Operation) -> Plain:
    plain: Plain = {
        "operationId": operation.operation_id,
        "parameters": [
            {"in": "query", "name": parameter.name, "schema": {"type": parameter.type, "uniqueItems": True}}
            for parameter in operation.query
        ],
        "responses": {
            str(operation.success): {
                "description": "OK",
                "content": {operation.result_type: {"schema": _result(operation)}},
            },
            "401": {"description": "Unauthorized"},
        },
        "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        GVK: operation.group_version_kind,
    }
    if operation.body:
        schema: dict[str, Any] = {"schema": V3.reference(operation.body)}
        plain["requestBody"] = {"required": True, "content": dict.fromkeys(operation.body_types, schema)}
    return plain


def _result(operation: Operation) -> Plain:
    return V3.reference(operation.result) if operation.result else {"type": "string"}


def _path_parameter(name: str) -> Plain:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "uniqueItems": True}}
