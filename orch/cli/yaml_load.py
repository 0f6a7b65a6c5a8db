"""YAML as Kubernetes' tools read it: scalars of YAML 1.1 less its traps, duplicate keys refused, lines remembered.

PyYAML's defaults would make `22:22` a number in base 60, a date of `2020-01-01`, and silently drop the first of two
equal keys.
"""

import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o?[0-7]+)$")
FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN))$"
)
_REPLACED = {"tag:yaml.org,2002:" + name for name in ("int", "float", "timestamp", "value")}


class _Loader(yaml.CSafeLoader):
    """Constructs plain data: dicts, lists, strings, numbers, booleans and None."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refused("a key must be a text", key_node)
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise _refused(f"the key {key_node.value!r} is there twice", key_node)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value.lower().replace("0o", "0").lstrip("+")
    digits = text.lstrip("-")
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") and len(digits) > 1 else 10
    return int(text, base)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


class YamlError(ValueError):
    """`line` counts from 1; 0 when it is not known."""

    def __init__(self, problem: str, line: int, document: int) -> None:
        super().__init__(problem)
        self.line, self.document = line, document


def load_documents(text: str) -> Iterator[tuple[int, Any]]:
    """(number from 1, plain data) of each document that is not empty. Raises YamlError."""
    loader = _Loader(text)
    number = 1
    try:
        while loader.check_node():
            document = loader.get_data()
            if document is not None:
                yield number, document
            number += 1
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(error.problem or str(error), mark.line + 1 if mark else 0, number) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlError(str(error) or "nested too deeply", 0, number) from error
    finally:
        loader.dispose()
