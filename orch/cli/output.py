"""Objects as JSON, YAML or names, as `-o` asks. managedFields are left out unless asked for, as kubectl does."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from orch.cli.discovery import Resource


def write_objects(form: str, objects: Sequence[dict[str, Any]], *, as_list: bool, managed_fields: bool = False) -> None:
    """`form` is json or yaml. One object stands alone unless a list was asked for."""
    if not managed_fields:
        for obj in objects:
            obj.get("metadata", {}).pop("managedFields", None)
    whole: dict[str, Any] = (
        {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}
        if as_list
        else objects[0]
    )
    sys.stdout.write(json.dumps(whole, indent=4) + "\n" if form == "json" else as_yaml(whole))


def as_yaml(plain: Any) -> str:
    import yaml  # only who asks for YAML pays for it

    text: str = yaml.dump(plain, Dumper=yaml.CSafeDumper, default_flow_style=False, sort_keys=True, allow_unicode=True)
    return text


def names(resource: Resource, objects: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{resource.qualified}/{obj['metadata']['name']}\n" for obj in objects)
