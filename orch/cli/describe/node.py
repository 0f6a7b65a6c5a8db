"""Nodes with the pods on them and what those have asked for, for reading."""

from typing import Any

from orch.cli.describe import generic
from orch.cli.describe.sheet import Sheet

Plain = dict[str, Any]
ENDED = ("Succeeded", "Failed")


def describe(obj: Plain, pods: list[Plain], sheet: Sheet) -> None:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    sheet.many("Taints", [_taint(taint) for taint in spec.get("taints") or ()])
    sheet.line("Unschedulable", "true" if spec.get("unschedulable") else "false")
    generic.conditions(obj, sheet)
    sheet.pairs("Addresses", {a["type"]: a["address"] for a in status.get("addresses") or ()}, join=": ")
    for key in ("capacity", "allocatable"):
        sheet.pairs(key.title(), status.get(key), join=": ")
    sheet.pairs("System Info", status.get("nodeInfo"), join=": ")
    sheet.line("PodCIDR", spec.get("podCIDR"))
    running = [pod for pod in pods if pod.get("status", {}).get("phase") not in ENDED]
    sheet.table(
        f"Pods ({len(running)})",
        ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits"],
        [_row(pod) for pod in sorted(running, key=lambda p: (p["metadata"]["namespace"], p["metadata"]["name"]))],
    )


def _taint(taint: Plain) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def _row(pod: Plain) -> list[str]:
    cells = [_sum(pod, kind, resource) for resource in ("cpu", "memory") for kind in ("requests", "limits")]
    return [pod["metadata"]["namespace"], pod["metadata"]["name"], *cells]


def _sum(pod: Plain, kind: str, resource: str) -> str:
    """Over the containers, as written when there is only one; 0 when none says anything."""
    from orch.api import quantity

    stated = [
        container["resources"][kind][resource]
        for container in pod["spec"]["containers"]
        if resource in ((container.get("resources") or {}).get(kind) or {})
    ]
    if len(stated) == 1:
        return str(stated[0])
    return (
        f"{sum(quantity.milli(q) for q in stated)}m"
        if resource == "cpu"
        else str(sum(quantity.value(q) for q in stated))
    )
