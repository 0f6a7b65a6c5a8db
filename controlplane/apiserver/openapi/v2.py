"""Swagger 2.0: one document for all kinds."""

from typing import Any

import msgspec

from controlplane.apiserver.openapi.definitions import GVK, V2, Plain, definitions
from controlplane.apiserver.openapi.operations import Operation, by_path
from orch.api.kind import KindTable

TITLE = "Kubernetes"
"""Clients know this API by that name."""
VERSION = "v1.34.2"
PRODUCES = ["application/json", "application/yaml"]


def build_v2_json(kinds: KindTable) -> bytes:
    """The document that `/openapi/v2` answers as JSON."""
    return msgspec.json.encode(v2_document(kinds))


def v2_document(kinds: KindTable) -> Plain:
    return {
        "swagger": "2.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": {path: _path_item(found) for path, found in by_path(kinds).items()},
        "definitions": definitions(kinds, V2),
    }


def _path_item(found: list[Operation]) -> Plain:
    item = {operation.method: _operation(operation) for operation in found}
    names = found[0].path_parameters
    return item | ({"parameters": [_path_parameter(name) for name in names]} if names else {})


def _operation(operation: Operation) -> Plain:
    parameters: list[Any] = [
        {"in": "query", "name": parameter.name, "type": parameter.type, "uniqueItems": True}
        for parameter in operation.query
    ]
    if operation.body:
        body = {"in": "body", "name": "body", "required": True, "schema": V2.reference(operation.body)}
        parameters.insert(0, body)
    return {
        "consumes": list(operation.body_types) if operation.body else ["*/*"],
        "operationId": operation.operation_id,
        "parameters": parameters,
        "produces": PRODUCES if operation.result else [operation.result_type],
        "responses": {
            str(operation.success): {"description": "OK", "schema": _result(operation)},
            "401": {"description": "Unauthorized"},
        },
        "schemes": ["https"],
        "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        GVK: operation.group_version_kind,
    }


def _result(operation: Operation) -> Plain:
    return V2.reference(operation.result) if operation.result else {"type": "string"}


def _path_parameter(name: str) -> Plain:
    return {"in": "path", "name": name, "required": True, "type": "string", "uniqueItems": True}
