"""What the types and their fields mean, in the files beside this one: what `kubectl explain` shows.

Only what a name does not say by itself is described. A text may come with the values that a field takes.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

TYPE = "."
ANY_TYPE = "*"


class Description(NamedTuple):
    text: str
    values: tuple[str, ...] = ()


NOTHING = Description("")


def describe(struct: str, field: str = TYPE) -> Description:
    """Of a type or, by its JSON name, of a field of it; empty where there is nothing to say."""
    known = descriptions()
    return known.get((struct, field)) or (known.get((ANY_TYPE, field), NOTHING) if field != TYPE else NOTHING)


@cache
def descriptions() -> Mapping[tuple[str, str], Description]:
    """(type, field) -> description, of all files."""
    found: dict[tuple[str, str], Description] = {}
    for file in resources.files(__name__).iterdir():
        if file.name.endswith(".yaml"):
            for struct, fields in yaml.load(file.read_text(), yaml.CSafeLoader).items():
                found |= {(struct, field): _description(entry) for field, entry in fields.items()}
    return found


def _description(entry: Any) -> Description:
    if isinstance(entry, str):
        return Description(entry)
    text, *values = map(str, entry)
    return Description(text, tuple(values))
