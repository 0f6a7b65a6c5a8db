"""The Swagger 2.0 document as gnostic's protobuf, which every kubectl up to 1.26 and many Go clients ask for."""

import json
from collections.abc import Mapping
from typing import Any

from controlplane.apiserver.openapi.definitions import Plain
from controlplane.apiserver.openapi.v2 import v2_document
from orch.api.kind import KindTable
from protos import openapi_v2_pb2 as pb


def build_v2_proto(kinds: KindTable) -> bytes:
    """An `openapi.v2.Document`, deterministic for one table."""
    document = v2_document(kinds)
    return pb.Document(
        swagger=document["swagger"],
        info=pb.Info(**document["info"]),
        paths=pb.Paths(
            path=[pb.NamedPathItem(name=path, value=_path_item(item)) for path, item in document["paths"].items()]
        ),
        definitions=pb.Definitions(additional_properties=_named_schemas(document["definitions"])),
    ).SerializeToString(deterministic=True)


def _path_item(item: Plain) -> pb.PathItem:
    methods = {method: _operation(operation) for method, operation in item.items() if method != "parameters"}
    return pb.PathItem(**methods, parameters=[_parameter(parameter) for parameter in item.get("parameters", ())])


def _operation(operation: Plain) -> pb.Operation:
    return pb.Operation(
        tags=operation["tags"],
        operation_id=operation["operationId"],
        consumes=operation["consumes"],
        produces=operation["produces"],
        schemes=operation["schemes"],
        parameters=[_parameter(parameter) for parameter in operation["parameters"]],
        responses=pb.Responses(
            response_code=[_response(code, response) for code, response in operation["responses"].items()]
        ),
        vendor_extension=_extensions(operation),
    )


def _response(code: str, response: Plain) -> pb.NamedResponseValue:
    schema = pb.SchemaItem(schema=_schema(response["schema"])) if "schema" in response else None
    value = pb.Response(description=response["description"], schema=schema)
    return pb.NamedResponseValue(name=code, value=pb.ResponseValue(response=value))


def _parameter(parameter: Plain) -> pb.ParametersItem:
    where, name = {"in": parameter["in"]}, parameter["name"]  # `in` is a word of Python
    if parameter["in"] == "body":
        body = pb.BodyParameter(**where, name=name, required=True, schema=_schema(parameter["schema"]))
        return pb.ParametersItem(parameter=pb.Parameter(body_parameter=body))
    if parameter["in"] == "path":
        path = pb.PathParameterSubSchema(**where, name=name, type=parameter["type"], required=True, unique_items=True)
        non_body = pb.NonBodyParameter(path_parameter_sub_schema=path)
    else:
        query = pb.QueryParameterSubSchema(**where, name=name, type=parameter["type"], unique_items=True)
        non_body = pb.NonBodyParameter(query_parameter_sub_schema=query)
    return pb.ParametersItem(parameter=pb.Parameter(non_body_parameter=non_body))


def _named_schemas(schemas: Mapping[str, Plain]) -> list[pb.NamedSchema]:
    return [pb.NamedSchema(name=name, value=_schema(schema)) for name, schema in schemas.items()]


def _schema(schema: Plain) -> pb.Schema:
    message = pb.Schema(
        format=schema.get("format", ""),
        description=schema.get("description", ""),
        required=schema.get("required", ()),
        enum=[pb.Any(yaml=json.dumps(value)) for value in schema.get("enum", ())],
        vendor_extension=_extensions(schema),
        **({"_ref": schema["$ref"]} if "$ref" in schema else {}),
    )
    if "type" in schema:
        message.type.value.append(schema["type"])
    if "items" in schema:
        message.items.schema.append(_schema(schema["items"]))
    if "properties" in schema:
        message.properties.additional_properties.extend(_named_schemas(schema["properties"]))
    if "additionalProperties" in schema:
        message.additional_properties.schema.CopyFrom(_schema(schema["additionalProperties"]))
    return message


def _extensions(holder: Mapping[str, Any]) -> list[pb.NamedAny]:
    return [
        pb.NamedAny(name=name, value=pb.Any(yaml=json.dumps(value)))
        for name, value in holder.items()
        if name.startswith("x-")
    ]
