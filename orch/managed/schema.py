"""What merging and tracking must know of a type, compiled from `orch.api.schema`: one node per place in an object.

    Leaf     a scalar, or a list, map or struct that is replaced whole (atomic)
    Record   a struct: named fields
    MapOf    a map: each key is a field of its own
    ListOf   a list that merges by keys, or as a set of scalars
    Deduced  data without types: maps are granular, lists atomic

`tracked` leaves out of an object what no manager owns; `whole` is all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from operator import attrgetter
from typing import Any

from orch.api.base import ApiStruct, ListRule
from orch.api.codec import StructCodec, UntypedObject
from orch.api.kind import Kind
from orch.api.meta import Object, ObjectMeta
from orch.api.schema import Field, Form, Shape, fields_of
from orch.managed.elements import field_element, key_element, value_element, value_text

STATUS, SCALE, FINALIZE = "status", "scale", "finalize"

TYPE_FIELDS = frozenset({"apiVersion", "kind"})
SERVERS_METADATA = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields"}
    | {"deletionTimestamp", "deletionGracePeriodSeconds"}
)
"""Never owned (managedfields `stripMeta`); the last two are written by deletions only, which leave no entry."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """Owned and replaced whole."""


@dataclass(frozen=True, eq=False)
class MapOf:
    item: "Node"


@dataclass(frozen=True, eq=False)
class Deduced:
    """The node is found from the value."""


@dataclass(frozen=True, eq=False)
class ListOf:
    """`keys` are JSON names; without keys it is a set of scalars."""

    item: "Node"
    rule: ListRule
    attributes: tuple[str, ...] = ()

    def element(self, item: Any) -> str:
        """The path element of an item, a struct or plain data; a key that is not there stays out."""
        if not self.rule.keys:
            return value_element(item)
        if isinstance(item, Mapping):
            return self._element([item.get(name) for name in self.rule.keys])
        return self._element([getattr(item, attribute) for attribute in self.attributes])

    def _element(self, values: Sequence[Any]) -> str:
        if len(values) == 1 and values[0] is not None:
            return self._before_only_key + value_text(values[0]) + "}"
        return key_element(self._keys(values))

    @cached_property
    def _before_only_key(self) -> str:
        return f"k:{{{value_text(self.rule.keys[0])}:"

    def _keys(self, values: Sequence[Any]) -> dict[str, Any]:
        keys = {name: value for name, value in zip(self.rule.keys, values, strict=True) if value is not None}
        for name, default in self.rule.key_defaults:
            keys.setdefault(name, default)
        return keys

    def missing_key(self, item: Mapping[str, Any]) -> str:
        """The first key that an item must have and has not; empty: none."""
        defaulted = [name for name, _ in self.rule.key_defaults]
        return next((name for name in self.rule.keys if item.get(name) is None and name not in defaulted), "")


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One field of a record."""

    name: str
    element: str
    attribute: str
    node: "Node"
    default: Any
    """What an absent value reads as in a struct."""


@dataclass(frozen=True, eq=False)
class Record:
    """`left_out` and `instead` make a record of a part of a struct; `rest` is what undeclared names are."""

    struct: type[ApiStruct]
    left_out: frozenset[str] = frozenset()
    instead: Mapping[str, "Node"] = field(default_factory=dict)
    rest: "Node | None" = None

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Compiled when first asked for, since types may be recursive."""
        return tuple(
            self._member(name, known)
            for name, known in fields_of(self.struct).items()
            if name not in self.left_out and not (self.rest and known.attribute == "content")
        )

    def _member(self, name: str, known: Field) -> Member:
        node = self.instead.get(name) or _field_node(known)
        return Member(name, field_element(name), known.attribute, node, known.default)

    @cached_property
    def by_name(self) -> Mapping[str, Member]:
        return {member.name: member for member in self.members}

    @cached_property
    def values(self) -> Callable[[Any], Sequence[Any]]:
        """The values of all members of a struct, in order."""
        attributes = [member.attribute for member in self.members]
        if len(attributes) > 1:
            return attrgetter(*attributes)
        return lambda struct: [getattr(struct, attribute) for attribute in attributes]

    def node_of(self, name: str) -> "Node | None":
        """None: nothing is known of such a field, or it is left out."""
        member = self.by_name.get(name)
        if member is not None:
            return member.node
        return None if name in self.left_out else self.rest


Node = Leaf | MapOf | ListOf | Record | Deduced

LEAF_NODE, DEDUCED = Leaf(), Deduced()


def whole(kind: Kind[Any]) -> Record:
    """All of an object of the kind."""
    return _root(_struct(kind), TYPE_FIELDS, "")


def tracked(kind: Kind[Any], subresource: str = "") -> Record:
    """What a write of the subresource may own (resetFields of the registry's strategies): the status through
    `status` only, everything else through the others; `scale` owns the number of replicas, `finalize` the spec."""
    struct = _struct(kind)
    if subresource == STATUS:
        return _root(struct, _but(struct, STATUS), subresource)
    if subresource == SCALE:
        return _root(struct, _but(struct, "spec"), subresource)
    if subresource == FINALIZE:
        return _root(struct, _but(struct, "spec"), subresource)
    elsewhere = {part for owner, part in ((STATUS, STATUS), (FINALIZE, "spec")) if owner in kind.subresources}
    return _root(struct, TYPE_FIELDS | elsewhere, "")


def _struct(kind: Kind[Any]) -> type[Object]:
    return kind.codec.struct if isinstance(kind.codec, StructCodec) else UntypedObject


def _but(struct: type[Object], name: str) -> frozenset[str]:
    return frozenset(fields_of(struct).keys() - {name, "content"}) | (_UNTYPED_NAMES - {name})


_UNTYPED_NAMES = frozenset({"spec", STATUS})


@cache
def _root(struct: type[Object], left_out: frozenset[str], subresource: str) -> Record:
    instead: dict[str, Node] = {"metadata": Record(ObjectMeta, left_out=SERVERS_METADATA)}
    if subresource == SCALE:
        instead["spec"] = _replicas_only(struct)
    return Record(struct, left_out, instead, rest=DEDUCED if struct is UntypedObject else None)


def _replicas_only(struct: type[Object]) -> Node:
    spec = fields_of(struct).get("spec")
    if spec is None or spec.shape.struct is None:
        return DEDUCED
    return Record(spec.shape.struct, left_out=frozenset(fields_of(spec.shape.struct).keys() - {"replicas"}))


@cache
def _record(struct: type[ApiStruct]) -> Record:
    return Record(struct)


def _field_node(found: Field) -> Node:
    rule = found.rule
    if rule is not None and rule.is_atomic:
        return LEAF_NODE
    item = found.shape.item
    if rule is not None and rule.is_list and item is not None:
        known = fields_of(item.struct) if item.struct is not None else {}
        return ListOf(_node(item), rule, tuple(known[name].attribute for name in rule.keys))
    return _node(found.shape)


def _node(shape: Shape) -> Node:
    if shape.form is Form.STRUCT and shape.struct is not None and not shape.struct.is_atomic:
        return _record(shape.struct)
    if shape.form is Form.MAP and shape.item is not None:
        return MapOf(_node(shape.item))
    return LEAF_NODE
