"""Which fields differ between two objects: what a write changed, and what it took away.

Works on structs as they are, so that equal parts cost one comparison and nothing is encoded. As `typed.Compare` of
structured-merge-diff: where a map, list item or struct appears, its own path and all paths below it are changed; where
both sides have it, only what lies below is looked at.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orch.api.codec import UntypedObject
from orch.api.meta import Object
from orch.managed.elements import field_element
from orch.managed.schema import DEDUCED, LEAF_NODE, Deduced, Leaf, ListOf, MapOf, Node, Record
from orch.managed.sets import LEAF, OWN, FieldSet


class Comparison(NamedTuple):
    """`changed`: new or with another value; `removed`: no longer there."""

    changed: FieldSet = LEAF
    removed: FieldSet = LEAF


def compare_objects(old: Object, new: Object, root: Record) -> Comparison:
    """Objects of one kind; `root` says which parts of them count."""
    found = _Differences()
    found.record(old, new, root)
    if isinstance(old, UntypedObject) and isinstance(new, UntypedObject):
        found.items(_content(old, root), _content(new, root), DEDUCED)
    return Comparison(found.changed, found.removed)


def _content(obj: UntypedObject, root: Record) -> Mapping[str, Any]:
    return {field_element(name): value for name, value in obj.content.items() if name not in root.left_out}


class _Differences:
    """Of one place in two objects."""

    __slots__ = ("changed", "removed")

    def __init__(self) -> None:
        self.changed: dict[str, Any] = {}
        self.removed: dict[str, Any] = {}

    def record(self, old: Any, new: Any, node: Record) -> None:
        for known, before, after in zip(node.members, node.values(old), node.values(new), strict=True):
            if before is after or before == after:
                continue
            if before is None or before == known.default:
                self.changed[known.element] = added(after, known.node)
            elif after is None or after == known.default:
                self.removed[known.element] = added(before, known.node)
            else:
                self._both(known.element, before, after, known.node)

    def items(self, old: Mapping[str, Any], new: Mapping[str, Any], node: Node) -> None:
        """Path element -> value."""
        for element, after in new.items():
            before = old.get(element)
            if before is None:
                self.changed[element] = added(after, node)
            elif before != after:
                self._both(element, before, after, node)
        for element in old.keys() - new.keys():
            self.removed[element] = added(old[element], node)

    def _both(self, element: str, before: Any, after: Any, node: Node) -> None:
        if isinstance(node, Leaf):
            self.changed[element] = LEAF
            return
        below = _Differences()
        if isinstance(node, Record):
            below.record(before, after, node)
        elif isinstance(node, Deduced) and not (isinstance(before, Mapping) and isinstance(after, Mapping)):
            below.changed = dict(added(after, node)) or {OWN: LEAF}
        else:
            below.items(dict(_items(before, node)), dict(_items(after, node)), item_node(node))
        if below.changed:
            self.changed[element] = LEAF if list(below.changed) == [OWN] else below.changed
        if below.removed:
            self.removed[element] = below.removed


def added(value: Any, node: Node) -> FieldSet:
    """The node of a value that was not there before: its own path and everything below."""
    below: dict[str, Any] = {OWN: LEAF}
    if isinstance(node, Record):
        for known, item in zip(node.members, node.values(value), strict=True):
            if item is not None and item != known.default:
                below[known.element] = LEAF if known.node is LEAF_NODE else added(item, known.node)
    elif not isinstance(node, Leaf):
        inner = item_node(node)
        for element, item in _items(value, node):
            below[element] = LEAF if inner is LEAF_NODE else added(item, inner)
    return below if len(below) > 1 else LEAF


def item_node(node: Node) -> Node:
    """What the items of a map or list are."""
    match node:
        case MapOf(item=item) | ListOf(item=item):
            return item
        case Deduced():
            return node
    return LEAF_NODE


def _items(value: Any, node: Node) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ListOf):
        return ((node.element(item), item) for item in value)
    if isinstance(node, Deduced) and not isinstance(value, Mapping):
        return iter(())
    return ((field_element(name), item) for name, item in value.items())
