"""A configuration applied to a live object (`typed.Merge`), and items taken out of one. Plain data in, new data out.

What the configuration says wins; what it does not say stays as it is. Nothing is removed here: see `prune.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orch.managed.compare import item_node
from orch.managed.extract import items
from orch.managed.schema import Deduced, Leaf, ListOf, Node, Record
from orch.managed.sets import FieldSet, is_member


def merge(live: Any, config: Any, node: Node) -> Any:
    if live is None or isinstance(node, Leaf):
        return config
    if isinstance(node, ListOf):
        return _merged_list(live, config, node)
    if not (isinstance(live, Mapping) and isinstance(config, Mapping)):
        return config
    merged = dict(live)
    for name, value in config.items():
        inner = _named(node, name)
        merged[name] = merge(live.get(name), value, inner) if inner is not None else value
    return merged


def _named(node: Node, name: str) -> Node | None:
    return node.node_of(name) if isinstance(node, Record) else item_node(node)


def _merged_list(live: Sequence[Any], config: Sequence[Any], node: ListOf) -> list[Any]:
    """The configuration's items in its own order, the others in the live order, each as near as may be to where it
    was."""
    theirs, inner = dict(items(config, node)), item_node(node)
    present = dict(items(live, node))
    order = _order([element for element, _ in items(live, node)], list(theirs), present)
    return [
        merge(present.get(element), theirs[element], inner) if element in theirs else present[element]
        for element in order
    ]


def _order(live: list[str], config: list[str], present: Mapping[str, Any]) -> list[str]:
    shared = [element for element in config if element in present]
    wanted, result, done = frozenset(config), list[str](), set[str]()
    left, right = 0, 0
    while left < len(live) or right < len(config):
        here = live[left] if left < len(live) else None
        next_shared = next((element for element in shared if element not in done), None)
        if here is not None and here not in wanted:
            result.append(here)
            left += 1
        elif here is not None and here != next_shared:
            left += 1  # its turn comes, or came, where the configuration has it
        elif right < len(config):
            result.append(config[right])
            done.add(config[right])
            right += 1
    return result


def without(value: Any, fields: FieldSet, node: Node) -> Any:
    """`value` without the fields of the set; None when nothing is left of what was not empty (`RemoveItems`)."""
    if not fields or not value:
        return value
    if isinstance(node, Leaf):
        return None
    if isinstance(node, ListOf):
        kept = [_item_without(item, fields.get(element), node.item) for element, item in items(value, node)]
        return [item for item in kept if item is not None] or None
    if not isinstance(value, Mapping):
        return None if isinstance(node, Deduced) else value
    left = {}
    for name, item in value.items():
        inner = _named(node, name)
        rest = item if inner is None else _item_without(item, fields.get(f"f:{name}"), inner)
        if rest is not None:
            left[name] = rest
    return left or None


def _item_without(item: Any, fields: FieldSet | None, node: Node) -> Any:
    if fields is None:
        return item
    return None if is_member(fields) else without(item, fields, node)
