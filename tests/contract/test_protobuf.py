"""The table of protobuf fields against the API types: bodies encoded by google.protobuf, every field set, are read as
exactly that, and the types know each field by the same name."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from controlplane.apiserver.protobuf import MAGIC, Field, message_name, messages, protobuf_to_json
from orch.api.codec import StructCodec
from orch.api.kind import Codec, Kind
from orch.api.kinds import ALL_KINDS
from orch.api.meta import DeleteOptions
from orch.api.schema import Form, Shape, fields_of, shape_of
from orch.api.subresources import Binding, Eviction, Scale

Proto = descriptor_pb2.FieldDescriptorProto
SCALARS = {"string": Proto.TYPE_STRING, "int": Proto.TYPE_INT64, "bool": Proto.TYPE_BOOL, "bytes": Proto.TYPE_BYTES}
WRAPPERS: Mapping[str, Mapping[int, Field]] = {
    "time": {1: Field("seconds", "int", ""), 2: Field("nanos", "int", "")},
    "microtime": {1: Field("seconds", "int", ""), 2: Field("nanos", "int", "")},
    "intorstring": {1: Field("type", "int", ""), 2: Field("intVal", "int", ""), 3: Field("strVal", "string", "")},
    "quantity": {1: Field("string", "string", "")},
    "rawjson": {1: Field("raw", "bytes", "")},
    "strings": {1: Field("items", "string", "*")},
    "Unknown": {1: Field("typeMeta", "TypeMeta", ""), 2: Field("raw", "bytes", "")},
    "TypeMeta": {1: Field("apiVersion", "string", ""), 2: Field("kind", "string", "")},
}
SAMPLES: Mapping[str, tuple[Any, Any]] = {
    "string": ("text", "text"),
    "int": (-7, -7),
    "bool": (True, True),
    "bytes": (b"\x00\xff", "AP8="),
    "time": ({"seconds": 1_700_000_000, "nanos": 5}, "2023-11-14T22:13:20Z"),
    "microtime": ({"seconds": 1_700_000_000, "nanos": 5000}, "2023-11-14T22:13:20.000005Z"),
    "intorstring": ({"type": 1, "strVal": "http"}, "http"),
    "quantity": ({"string": "5Gi"}, "5Gi"),
    "rawjson": ({"raw": b'{"a":1}'}, {"a": 1}),
    "strings": ({"items": ["a", "b"]}, ["a", "b"]),
}
"""Type -> its value as a message and as JSON."""

ROOTS: dict[tuple[str, str], Codec[Any]] = {
    **{(kind.api_version, kind.kind): kind.codec for kind in ALL_KINDS},
    ("v1", "Binding"): StructCodec(Binding),
    ("policy/v1", "Eviction"): StructCodec(Eviction),
    ("autoscaling/v1", "Scale"): StructCodec(Scale),
}
NEWER = {"core/v1.PodStatus.extendedResourceClaimStatus", "core/v1.VolumeProjection.podCertificate"}
"""Fields of the types without a number in the table; as JSON they are read."""


@cache
def encoder(name: str) -> Any:
    """The message class of google.protobuf."""
    file = descriptor_pb2.FileDescriptorProto(name="kubernetes.proto", syntax="proto2")
    for message, fields in {**messages(), **WRAPPERS}.items():
        described = file.message_type.add(name=identifier(message))
        for number, field in fields.items():
            describe(described, number, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(identifier(name)))


def identifier(name: str) -> str:
    return name.replace("/", "_").replace(".", "_")


def describe(message: Any, number: int, field: Field) -> None:
    added = message.field.add(name=f"f{number}", number=number, label=Proto.LABEL_OPTIONAL)
    target = added
    if field.shape == "%":
        entry = message.nested_type.add(name=f"F{number}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=Proto.LABEL_OPTIONAL, type=Proto.TYPE_STRING)
        target = entry.field.add(name="value", number=2, label=Proto.LABEL_OPTIONAL)
        added.type, added.type_name = Proto.TYPE_MESSAGE, f".{message.name}.{entry.name}"
    if field.shape in ("%", "*"):
        added.label = Proto.LABEL_REPEATED
    if field.type in SCALARS:
        target.type = SCALARS[field.type]
    else:
        target.type, target.type_name = Proto.TYPE_MESSAGE, f".{identifier(field.type)}"


def sample(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message with every field set: by field names of the descriptor, and as JSON."""
    sent: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for number, field in messages()[name].items():
        value, read = SAMPLES[field.type] if field.type in SAMPLES else sample(field.type)
        if field.shape == "*":
            sent[f"f{number}"], plain[field.name] = [value, value], [read, read]
        elif field.shape == "%":
            sent[f"f{number}"], plain[field.name] = {"key": value}, {"key": read}
        else:
            sent[f"f{number}"] = value
            plain |= {field.name: read} if field.name else read
    return sent, plain


def fill(message: Any, values: Mapping[str, Any], fields: Mapping[int, Field]) -> Any:
    for number, field in fields.items():
        key = f"f{number}" if f"f{number}" in values else field.name
        if key not in values:
            continue
        target, value = getattr(message, f"f{number}"), values[key]
        inner = WRAPPERS.get(field.type) or messages().get(field.type)
        if inner is None:
            put_scalars(message, f"f{number}", field, value)
        elif field.shape == "*":
            for item in value:
                fill(target.add(), item, inner)
        elif field.shape == "%":
            for name, item in value.items():
                fill(target[name], item, inner)
        else:
            target.SetInParent()
            fill(target, value, inner)
    return message


def put_scalars(message: Any, name: str, field: Field, value: Any) -> None:
    if field.shape == "*":
        getattr(message, name).extend(value)
    elif field.shape == "%":
        getattr(message, name).update(value)
    else:
        setattr(message, name, value)


def body(api_version: str, kind: str, values: Mapping[str, Any]) -> bytes:
    name = message_name(api_version, kind)
    raw = fill(encoder(name)(), values, messages()[name]).SerializeToString()
    envelope = {"typeMeta": {"apiVersion": api_version, "kind": kind}, "raw": raw}
    encoded: bytes = fill(encoder("Unknown")(), envelope, WRAPPERS["Unknown"]).SerializeToString()
    return MAGIC + encoded


@pytest.mark.parametrize(("api_version", "kind"), ROOTS, ids=lambda part: part)
def test_every_field_is_read_and_known_to_the_types(api_version: str, kind: str) -> None:
    sent, plain = sample(message_name(api_version, kind))
    read = protobuf_to_json(body(api_version, kind, sent))
    assert msgspec.json.decode(read) == {"apiVersion": api_version, "kind": kind, **plain}
    assert ROOTS[api_version, kind].decode_lenient(read).problems == ()


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.resource)
def test_every_field_of_the_types_has_a_number(kind: Kind[Any]) -> None:
    shape = shape_of(kind.codec.struct)
    assert set(unnumbered(shape, message_name(kind.api_version, kind.kind))) <= NEWER


def unnumbered(shape: Shape, name: str) -> list[str]:
    while shape.item is not None:
        shape = shape.item
    if shape.form is not Form.STRUCT or shape.struct is None or name not in messages():
        return []
    known, missing = numbered(name), []
    for json_name, field in fields_of(shape.struct).items():
        if json_name in known:
            missing += unnumbered(field.shape, known[json_name].type)
        elif json_name not in ("apiVersion", "kind"):
            missing.append(f"{name}.{json_name}")
    return missing


def numbered(name: str) -> dict[str, Field]:
    known: dict[str, Field] = {}
    for field in messages()[name].values():
        known |= {field.name: field} if field.name else numbered(field.type)
    return known


def test_delete_options_come_under_any_group() -> None:
    sent, plain = sample("meta/v1.DeleteOptions")
    read = protobuf_to_json(body("apps/v1", "DeleteOptions", sent))
    assert msgspec.json.decode(read) == {"apiVersion": "apps/v1", "kind": "DeleteOptions", **plain}
    assert msgspec.json.decode(read, type=DeleteOptions).grace_period_seconds == -7
