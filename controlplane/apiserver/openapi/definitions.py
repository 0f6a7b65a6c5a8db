"""Schemas of the types, as plain data. The dialects differ in where references point and what may stand beside them.

Everything is read from `orch.api.schema`: what is true of a field stands on the field.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.openapi import names
from controlplane.apiserver.openapi.descriptions import describe
from orch.api.authentication import TokenRequest
from orch.api.base import ApiStruct, ListRule
from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.meta import DeleteOptions, ListMeta, ObjectMeta, Status
from orch.api.schema import Field, Form, Shape, fields_of
from orch.api.subresources import Binding, Eviction, Scale

AnyKind = Kind[Any]
Plain = dict[str, Any]

GVK = "x-kubernetes-group-version-kind"
SUBRESOURCE_BODIES: Mapping[str, tuple[type[ApiStruct], str, str]] = {
    "binding": (Binding, "", "v1"),
    "eviction": (Eviction, "policy", "v1"),
    "scale": (Scale, "autoscaling", "v1"),
    "token": (TokenRequest, "authentication.k8s.io", "v1"),
}
"""Subresource -> the struct of its body, group, version."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`wraps_references`: OpenAPI 3.0 ignores what stands beside a `$ref`, so that a reference moves into `allOf`."""

    reference_prefix: str
    wraps_references: bool
    scalars: Mapping[str, Plain]
    """Definitions of the scalar types that have names."""

    def reference(self, name: str, **beside: Any) -> Plain:
        target = {"$ref": f"{self.reference_prefix}{name}"}
        if not beside:
            return target
        return {"allOf": [target], **beside} if self.wraps_references else {**target, **beside}


_TIME = {"type": "string", "format": "date-time"}
_SHARED_SCALARS: Mapping[str, Plain] = {
    names.TIME: _TIME,
    names.MICRO_TIME: _TIME,
    names.FIELDS: {"type": "object"},
    names.PATCH: {"type": "object"},
}
V2 = Dialect(
    reference_prefix="#/definitions/",
    wraps_references=False,
    scalars={
        **_SHARED_SCALARS,
        names.QUANTITY: {"type": "string"},
        names.INT_OR_STRING: {"type": "string", "format": "int-or-string"},
    },
)
V3 = Dialect(
    reference_prefix="#/components/schemas/",
    wraps_references=True,
    scalars={
        **_SHARED_SCALARS,
        names.QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
        names.INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    },
)

_NAMED_SCALARS = {
    Form.QUANTITY: names.QUANTITY,
    Form.INT_OR_STRING: names.INT_OR_STRING,
    Form.TIME: names.TIME,
    Form.MICRO_TIME: names.MICRO_TIME,
}


def definitions(kinds: Iterable[AnyKind], dialect: Dialect) -> dict[str, Plain]:
    """Name -> schema of everything that the kinds, their lists and their subresources are made of, sorted by name."""
    found: dict[str, Plain] = dict(dialect.scalars)
    roots: list[type[ApiStruct]] = [ObjectMeta, ListMeta, Status, DeleteOptions]
    group_version_kinds: dict[type[ApiStruct], list[Plain]] = {
        struct: [gvk("", "v1", struct.__name__)] for struct in (Status, DeleteOptions)
    }
    for kind in kinds:
        if "list" in kind.verbs:
            found[list_name(kind)] = _list_schema(kind, dialect)
        if isinstance(kind.codec, StructCodec):
            roots.append(kind.codec.struct)
            group_version_kinds[kind.codec.struct] = [gvk(kind.group, kind.version, kind.kind)]
        else:
            found[kind_name(kind)] = _untyped_schema(kind, dialect)
        for subresource in sorted(kind.subresources & SUBRESOURCE_BODIES.keys()):
            body, group, version = SUBRESOURCE_BODIES[subresource]
            roots.append(body)
            group_version_kinds[body] = [gvk(group, version, body.__name__)]
    for struct in _reachable(roots):
        found[names.struct_name(struct)] = _struct_schema(struct, dialect, group_version_kinds.get(struct, []))
    return dict(sorted(found.items()))


def gvk(group: str, version: str, kind: str) -> Plain:
    return {"group": group, "kind": kind, "version": version}


def kind_name(kind: AnyKind) -> str:
    if isinstance(kind.codec, StructCodec):
        return names.struct_name(kind.codec.struct)
    return names.untyped_name(kind.group, kind.version, kind.kind)


def list_name(kind: AnyKind) -> str:
    return f"{kind_name(kind)}List"


def _reachable(roots: Iterable[type[ApiStruct]]) -> Iterator[type[ApiStruct]]:
    waiting, seen = list(roots), set[type[ApiStruct]]()
    while waiting:
        struct = waiting.pop()
        if struct in seen:
            continue
        seen.add(struct)
        yield struct
        for field in fields_of(struct).values():
            shape = field.shape
            while shape.item is not None:
                shape = shape.item
            if shape.struct is not None:
                waiting.append(shape.struct)


def _struct_schema(struct: type[ApiStruct], dialect: Dialect, group_version_kinds: list[Plain]) -> Plain:
    fields = fields_of(struct)
    schema: Plain = {"type": "object"}
    if struct.is_atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    if description := describe(struct.__name__).text:
        schema["description"] = description
    if fields:
        schema["properties"] = {name: _field_schema(struct, field, dialect) for name, field in sorted(fields.items())}
    if required := [name for name, field in fields.items() if field.always and _is_required(struct, field)]:
        schema["required"] = required
    if group_version_kinds:
        schema[GVK] = group_version_kinds
    return schema


def _is_required(struct: type[ApiStruct], field: Field) -> bool:
    """A struct that is written even when empty may still be left out by a client, as may apiVersion and kind."""
    is_type_meta = field.name in ("apiVersion", "kind") and "metadata" in fields_of(struct)
    return field.shape.form is not Form.STRUCT and not is_type_meta and struct not in (Status, DeleteOptions)


def _field_schema(struct: type[ApiStruct], field: Field, dialect: Dialect) -> Plain:
    description = describe(struct.__name__, field.name)
    beside = _extensions(field)
    if description.text:
        beside["description"] = description.text
    if description.values:
        beside["enum"] = list(description.values)
    if field.name == "fieldsV1":
        return dialect.reference(names.FIELDS, **beside)
    return _shape_schema(field.shape, dialect, beside)


def _extensions(field: Field) -> Plain:
    rule = field.rule
    if rule is None:
        return {"x-kubernetes-list-type": "atomic"} if field.shape.form is Form.LIST else {}
    if not rule.is_list:
        return {"x-kubernetes-map-type": "atomic"} if rule.is_atomic else {"x-kubernetes-patch-strategy": "retainKeys"}
    return {**_list_type(rule), **_patch_strategy(rule)}


def _list_type(rule: ListRule) -> Plain:
    keys = {"x-kubernetes-list-map-keys": list(rule.keys)} if rule.list_type == "map" else {}
    return {**keys, "x-kubernetes-list-type": rule.list_type}


def _patch_strategy(rule: ListRule) -> Plain:
    if not rule.merges:
        return {}
    key = {"x-kubernetes-patch-merge-key": rule.patch_key} if rule.patch_key else {}
    return {**key, "x-kubernetes-patch-strategy": "merge,retainKeys" if rule.retain_keys else "merge"}


def _shape_schema(shape: Shape, dialect: Dialect, beside: Plain) -> Plain:
    """`beside`: what else is said of the field."""
    match shape.form:
        case Form.STRUCT if shape.struct is not None:
            return dialect.reference(names.struct_name(shape.struct), **beside)
        case Form.LIST if shape.item is not None:
            return {"type": "array", "items": _shape_schema(shape.item, dialect, {}), **beside}
        case Form.MAP if shape.item is not None:
            return {"type": "object", "additionalProperties": _shape_schema(shape.item, dialect, {}), **beside}
        case Form.INTEGER:
            return {"type": "integer", "format": f"int{shape.bits}", **beside}
        case Form.BOOLEAN:
            return {"type": "boolean", **beside}
        case Form.BYTES:
            return {"type": "string", "format": "byte", **beside}
        case Form.STRING:
            return {"type": "string", **beside}
        case Form.ANY:
            return {"type": "object", **beside}
    return dialect.reference(_NAMED_SCALARS[shape.form], **beside)


def _list_schema(kind: AnyKind, dialect: Dialect) -> Plain:
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": dialect.reference(kind_name(kind))},
            "kind": {"type": "string"},
            "metadata": dialect.reference(names.struct_name(ListMeta)),
        },
        "required": ["items"],
        GVK: [gvk(kind.group, kind.version, f"{kind.kind}List")],
    }


def _untyped_schema(kind: AnyKind, dialect: Dialect) -> Plain:
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": dialect.reference(names.struct_name(ObjectMeta)),
        },
        "x-kubernetes-preserve-unknown-fields": True,
        GVK: [gvk(kind.group, kind.version, kind.kind)],
    }
