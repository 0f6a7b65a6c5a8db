"""The documents as their readers use them: references resolve, PATCH takes fieldValidation, kinds are found by name."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from controlplane.apiserver.openapi import build_v2_json, build_v2_proto, v3_document, v3_index
from orch.api.kind import Kind, KindTable
from orch.api.kinds import ALL_KINDS, builtin_kinds, untyped_kind
from protos import openapi_v2_pb2 as pb

GVK = "x-kubernetes-group-version-kind"
AnyKind = Kind[Any]


@cache
def v2() -> dict[str, Any]:
    return dict(json.loads(build_v2_json(builtin_kinds())))


@cache
def v3(group: str, version: str) -> dict[str, Any]:
    return dict(json.loads(v3_document(builtin_kinds(), group, version) or b"null"))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key == "$ref")
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def plain_gvk(kind: AnyKind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def object_path(kind: AnyKind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}{'/namespaces/{namespace}' if kind.namespaced else ''}/{kind.plural}/{{name}}"


def test_references_resolve() -> None:
    assert {name.removeprefix("#/definitions/") for name in references(v2())} <= set(v2()["definitions"])
    for kind in ALL_KINDS:
        document = v3(kind.group, kind.version)
        found = {name.removeprefix("#/components/schemas/") for name in references(document)}
        assert found <= set(document["components"]["schemas"])


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
def test_a_kind_is_found_by_its_name_and_its_patch_validates_fields(kind: AnyKind) -> None:
    document = v3(kind.group, kind.version)
    for definitions, paths in (
        (v2()["definitions"], v2()["paths"]),
        (document["components"]["schemas"], document["paths"]),
    ):
        own = [schema for schema in definitions.values() if plain_gvk(kind) in schema.get(GVK, ())]
        assert len(own) == 1
        patch = paths[object_path(kind)]["patch"]
        assert patch[GVK] == plain_gvk(kind)
        assert {"fieldValidation", "dryRun"} <= {p["name"] for p in patch["parameters"] if p["in"] == "query"}


def test_operation_ids_are_unique() -> None:
    ids = [
        operation["operationId"]
        for item in v2()["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))
    assert {"listCoreV1NamespacedPod", "listCoreV1PodForAllNamespaces", "patchAppsV1NamespacedDeploymentScale"} <= set(
        ids
    )


def test_fields_say_how_they_merge() -> None:
    spec = v2()["definitions"]["io.k8s.api.core.v1.PodSpec"]
    assert spec["required"] == ["containers"]
    assert spec["properties"]["volumes"] == {
        "description": "What containers may mount.",
        "type": "array",
        "items": {"$ref": "#/definitions/io.k8s.api.core.v1.Volume"},
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-list-type": "map",
        "x-kubernetes-patch-merge-key": "name",
        "x-kubernetes-patch-strategy": "merge,retainKeys",
    }
    assert spec["properties"]["tolerations"]["x-kubernetes-list-type"] == "atomic"
    assert spec["properties"]["nodeSelector"]["x-kubernetes-map-type"] == "atomic"
    definitions = v2()["definitions"]
    assert definitions["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"] == "atomic"
    claims = definitions["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["claims"]
    assert (claims["x-kubernetes-list-map-keys"], "x-kubernetes-patch-strategy" in claims) == (["name"], False)
    strategy = v3("apps", "v1")["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy == {
        "description": "How old pods are replaced by new ones.",
        "allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}],
        "x-kubernetes-patch-strategy": "retainKeys",
    }


def test_scalars() -> None:
    definitions = v2()["definitions"]
    port = definitions["io.k8s.api.core.v1.ContainerPort"]["properties"]
    number = {"type": "integer", "format": "int32"}
    assert port["containerPort"] == {**number, "description": "The port in the pod's network."}
    assert definitions["io.k8s.api.core.v1.Secret"]["properties"]["data"]["additionalProperties"]["format"] == "byte"
    limits = definitions["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"]
    assert limits["additionalProperties"] == {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"}


def test_the_protobuf_says_what_the_json_says() -> None:
    data = build_v2_proto(builtin_kinds())
    assert data == build_v2_proto(builtin_kinds())
    document = pb.Document.FromString(data)
    assert [item.name for item in document.paths.path] == list(v2()["paths"])
    schemas = {named.name: named.value for named in document.definitions.additional_properties}
    assert list(schemas) == list(v2()["definitions"])
    pod = schemas["io.k8s.api.core.v1.Pod"]
    (extension,) = pod.vendor_extension
    assert (extension.name, json.loads(extension.value.yaml)) == (GVK, [{"group": "", "version": "v1", "kind": "Pod"}])
    properties = {named.name: named.value for named in pod.properties.additional_properties}
    assert getattr(properties["spec"], "_ref") == "#/definitions/io.k8s.api.core.v1.PodSpec"  # noqa: B009 - protobuf's name
    policy = {n.name: n.value for n in schemas["io.k8s.api.core.v1.PodSpec"].properties.additional_properties}
    assert [json.loads(value.yaml) for value in policy["restartPolicy"].enum] == ["Always", "Never", "OnFailure"]
    labels = {
        n.name: n.value
        for n in schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].properties.additional_properties
    }
    assert list(labels["labels"].additional_properties.schema.type.value) == ["string"]


def test_the_protobufs_patch_has_field_validation() -> None:
    """As kubectl's QueryParamVerifier reads it."""
    document = pb.Document.FromString(build_v2_proto(builtin_kinds()))
    patches = {item.name: item.value.patch for item in document.paths.path}
    parameters = patches["/api/v1/namespaces/{namespace}/pods/{name}"].parameters
    names = [p.parameter.non_body_parameter.query_parameter_sub_schema.name for p in parameters]
    assert "fieldValidation" in names


def test_the_index_of_v3_leads_to_the_documents() -> None:
    paths = json.loads(v3_index(builtin_kinds()))["paths"]
    assert set(paths) == {f"apis/{kind.api_version}" if kind.group else "api/v1" for kind in builtin_kinds()}
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert v3_document(builtin_kinds(), "apps", "v2") is None


def test_a_kind_without_types_takes_any_field() -> None:
    widgets = untyped_kind("example.com", "v1", "Widget", "widgets")
    kinds = KindTable([widgets])
    schema = json.loads(build_v2_json(kinds))["definitions"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-preserve-unknown-fields"] is True
    assert schema[GVK] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert "apis/example.com/v1" in json.loads(v3_index(kinds))["paths"]
    assert pb.Document.FromString(build_v2_proto(kinds)).definitions.additional_properties
