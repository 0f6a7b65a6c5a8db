"""What every object has (metadata), and a plain walk over the fields of kinds that have no file of their own."""

import re
from typing import Any

from orch.cli.apply import LAST_APPLIED
from orch.cli.describe.sheet import Sheet

LEFT_OUT = ("apiVersion", "kind", "metadata")
SECRET_KINDS = ("Secret",)


def metadata(obj: dict[str, Any], sheet: Sheet, namespaced: bool) -> None:
    meta = obj["metadata"]
    sheet.line("Name", meta["name"])
    if namespaced:
        sheet.line("Namespace", meta.get("namespace"))
    sheet.pairs("Labels", meta.get("labels"))
    kept = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    sheet.pairs("Annotations", kept, join=": ")
    sheet.line("Created", meta.get("creationTimestamp"))
    if meta.get("deletionTimestamp"):
        sheet.line("Being deleted since", meta["deletionTimestamp"])
        sheet.optional("Finalizers", ", ".join(meta.get("finalizers") or ()))
    owners = [
        f"{owner['kind']}/{owner['name']}" for owner in meta.get("ownerReferences") or () if owner.get("controller")
    ]
    sheet.optional("Controlled By", ", ".join(owners))


def describe(obj: dict[str, Any], sheet: Sheet) -> None:
    if obj["kind"] in SECRET_KINDS:
        sheet.optional("Type", obj.get("type"))
        sizes = {
            key: f"{len(value) * 3 // 4 - value.count('=')} bytes" for key, value in (obj.get("data") or {}).items()
        }
        sheet.pairs("Data", sizes, join=": ")
        return
    for key, value in obj.items():
        if key not in LEFT_OUT:
            _field(title(key), value, sheet)


def _field(label: str, value: Any, sheet: Sheet) -> None:
    if isinstance(value, dict) and value:
        with sheet.section(label):
            for key, inner in value.items():
                _field(key if _is_data(label) else title(key), inner, sheet)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            _field(label, item, sheet)
    elif isinstance(value, list):
        sheet.many(label, [str(item) for item in value])
    elif isinstance(value, str) and "\n" in value:
        with sheet.section(label):
            sheet.many("", value.splitlines())
    elif value not in ({}, None):
        sheet.line(label, value)


def _is_data(label: str) -> bool:
    """Keys below these are a person's own words."""
    return label in ("Data", "Match Labels", "Labels")


def title(name: str) -> str:
    """`hostIPs` -> `Host IPs`."""
    words = re.findall(r"[A-Z]{2,}s?(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]", name)
    return " ".join(word[0].upper() + word[1:] for word in words) or name


def conditions(obj: dict[str, Any], sheet: Sheet) -> None:
    found = obj.get("status", {}).get("conditions") or ()
    rows = [[c["type"], c["status"], c.get("reason") or "", c.get("message") or ""] for c in found]
    sheet.table("Conditions", ["Type", "Status", "Reason", "Message"], rows)
