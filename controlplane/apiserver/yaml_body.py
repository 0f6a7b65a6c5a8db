"""YAML request bodies as JSON, safe against what YAML can do to a reader.

libyaml's composer recurses in C, so that deep nesting ends the process; aliases let a small text stand for a huge
document. Both are looked for in the flat stream of events before anything is built.
"""

import msgspec
import yaml

from orch.errors import BadRequest

DEPTH_MAX = 200
"""No object of the API is nested a tenth as deep."""


class _PlainLoader(yaml.CSafeLoader):
    """YAML as JSON sees it: timestamps stay strings."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def yaml_to_json(data: bytes) -> bytes:
    """One document. Raises BadRequest."""
    try:
        _check_events(data)
        return msgspec.json.encode(yaml.load(data, _PlainLoader))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"the object provided is unrecognized (must be YAML): {error}") from error


def _check_events(data: bytes) -> None:
    depth = 0
    for event in yaml.parse(data, yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise BadRequest("the object provided uses YAML aliases, which are not accepted here")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise BadRequest(f"the object provided is nested more than {DEPTH_MAX} deep")
