"""Path elements of FieldsV1 as text: `f:<field>`, `k:<keys as JSON>`, `v:<value as JSON>`, `i:<index>`.

Invariant: equal elements are equal texts, so that sets of fields are plain dicts. Keys are sorted, JSON is compact.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


def field_element(name: str) -> str:
    return f"f:{name}"


def key_element(keys: Mapping[str, Any]) -> str:
    return f"k:{_encode(keys).decode()}"


def value_element(value: Any) -> str:
    return f"v:{value_text(value)}"


def value_text(value: Any) -> str:
    return _encode(value).decode()


def canonical(element: str) -> str:
    """The element as this module writes it. Raises ValueError for what is none."""
    prefix, text = element[:2], element[2:]
    match prefix:
        case "f:":
            return element
        case "k:":
            keys = json.loads(text)
            if not isinstance(keys, dict):
                raise ValueError(f"keys must be a JSON object: {element}")
            return key_element(keys)
        case "v:":
            return value_element(json.loads(text))
        case "i:":
            return f"i:{int(text)}"
    raise ValueError(f"no path element: {element}")


def path_text(elements: Sequence[str]) -> str:
    """As conflicts name a field: `.spec.containers[name="app"].image` (fieldpath.Path.String)."""
    return "".join(_shown(element) for element in elements)


def _shown(element: str) -> str:
    prefix, text = element[:2], element[2:]
    match prefix:
        case "k:":
            pairs = (f"{name}={json.dumps(value)}" for name, value in json.loads(text).items())
            return f"[{','.join(pairs)}]"
        case "v:":
            return f"[={text}]"
        case "i:":
            return f"[{text}]"
    return f".{text}"
