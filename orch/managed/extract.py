"""The set of fields that a configuration names: what its applier owns (`typed.ToFieldSet`). Plain data in, set out."""

from collections.abc import Iterator, Mapping
from typing import Any

from orch.managed.compare import item_node
from orch.managed.elements import field_element, path_text
from orch.managed.schema import Deduced, Leaf, ListOf, Node, Record
from orch.managed.sets import LEAF, OWN, FieldSet, member


def extract(value: Any, node: Node) -> FieldSet:
    """What lies below the value's own path. List items and keys of maps are members; the fields of a struct are when
    they hold a leaf or nothing."""
    if isinstance(node, Record):
        return {
            field_element(name): below
            for name, item in value.items()
            if (inner := node.node_of(name)) is not None and (below := _field(item, inner)) is not None
        }
    if isinstance(node, Leaf) or (isinstance(node, Deduced) and not isinstance(value, Mapping)):
        return LEAF
    inner = item_node(node)
    return {element: member(extract(item, inner)) for element, item in items(value, node)}


def _field(item: Any, node: Node) -> FieldSet | None:
    """The node of a declared field; None: it names nothing."""
    if isinstance(node, Deduced):
        return member(extract(item, node))
    if isinstance(node, Leaf) or (isinstance(item, Mapping) and not item):
        return LEAF
    return extract(item, node) or None


def items(value: Any, node: Node) -> Iterator[tuple[str, Any]]:
    """Path element and value of all items of plain data."""
    if isinstance(node, ListOf):
        return ((node.element(item), item) for item in value)
    return ((field_element(name), item) for name, item in value.items())


def problems(value: Any, node: Node, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Why a configuration cannot be applied: items without keys, items that are there twice."""
    if isinstance(node, Leaf | Deduced):
        return
    if isinstance(node, ListOf):
        yield from _list_problems(value, node, path)
    for element, item in items(value, node):
        inner = node.node_of(element[2:]) if isinstance(node, Record) else item_node(node)
        if inner is not None:
            yield from problems(item, inner, (*path, element))


def _list_problems(value: Any, node: ListOf, path: tuple[str, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(value):
        if node.rule.keys and (name := node.missing_key(item)):
            why = f'associative list with keys has an element that omits key field "{name}"'
            yield f"{path_text(path)}: element {index}: {why} (and doesn't have default value)"
            continue
        element = node.element(item)
        if element in seen:
            yield f"{path_text(path)}: duplicate entries for key {path_text((element,))}"
        seen.add(element)


def with_named_fields(fields: FieldSet, node: Node) -> FieldSet:
    """`fields` and the declared fields of structs above its members (`EnsureNamedFieldsAreMembers`)."""
    result: dict[str, Any] = {}
    for element, below in fields.items():
        if element == OWN:
            result[element] = LEAF
            continue
        inner = _inner(node, element)
        grown = with_named_fields(below, inner) if inner is not None else below
        declared = isinstance(node, Record) and element[2:] in node.by_name
        result[element] = member(grown) if declared and below and OWN not in below else grown
    return result


def _inner(node: Node, element: str) -> Node | None:
    if isinstance(node, Record):
        return node.node_of(element[2:]) if element.startswith("f:") else None
    return None if isinstance(node, Leaf) else item_node(node)
