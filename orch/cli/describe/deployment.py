"""Deployments with their ReplicaSets, and ReplicaSets, for reading."""

from typing import Any

from orch.cli.describe import generic, pod
from orch.cli.describe.sheet import Sheet
from orch.cli.pods import selector_text

Plain = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"


def describe(obj: Plain, replica_sets: list[Plain], sheet: Sheet) -> None:
    spec, status = obj["spec"], obj.get("status", {})
    sheet.line("Selector", selector_text(spec.get("selector")))
    counts = {
        "desired": spec.get("replicas", 1),
        "updated": status.get("updatedReplicas", 0),
        "total": status.get("replicas", 0),
        "available": status.get("availableReplicas", 0),
        "unavailable": status.get("unavailableReplicas", 0),
    }
    sheet.line("Replicas", " | ".join(f"{count} {name}" for name, count in counts.items()))
    strategy = spec.get("strategy") or {}
    sheet.line("StrategyType", strategy.get("type"))
    rolling = strategy.get("rollingUpdate") or {}
    if rolling:
        sheet.line(
            "RollingUpdate", f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge"
        )
    sheet.optional("MinReadySeconds", spec.get("minReadySeconds"))
    sheet.optional("Paused", spec.get("paused"))
    _template(spec["template"], sheet)
    generic.conditions(obj, sheet)
    rows = [_row(rs) for rs in sorted(replica_sets, key=_revision, reverse=True)]
    sheet.table("ReplicaSets", ["Name", "Revision", "Desired", "Current", "Ready"], rows)


def describe_replica_set(obj: Plain, sheet: Sheet) -> None:
    spec, status = obj["spec"], obj.get("status", {})
    sheet.line("Selector", selector_text(spec.get("selector")))
    sheet.line("Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    sheet.line("Ready", status.get("readyReplicas", 0))
    _template(spec["template"], sheet)
    generic.conditions(obj, sheet)


def _template(template: Plain, sheet: Sheet) -> None:
    with sheet.section("Pod Template"):
        sheet.pairs("Labels", (template.get("metadata") or {}).get("labels"))
        pod.containers(template["spec"], {}, sheet)
        pod.volumes(template["spec"], sheet)


def _revision(replica_set: Plain) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION) or 0)


def _row(replica_set: Plain) -> list[str]:
    status = replica_set.get("status", {})
    numbers = (replica_set["spec"].get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0))
    return [replica_set["metadata"]["name"], str(_revision(replica_set)), *(str(number) for number in numbers)]
