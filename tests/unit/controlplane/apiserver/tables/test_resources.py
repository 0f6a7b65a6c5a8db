"""The cells of volumes, claims, classes, quotas and policies, as users of kubectl know them."""

from typing import Any

import pytest

from controlplane.apiserver.tables.render import PRINTERS
from orch.api.kind import Kind
from orch.api.kinds import (
    INGRESSCLASSES,
    INGRESSES,
    LIMITRANGES,
    NETWORKPOLICIES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PRIORITYCLASSES,
    RESOURCEQUOTAS,
    RUNTIMECLASSES,
    STORAGECLASSES,
)
from tests.builders import NOW
from tests.unit.orch.api.objects import made

META = {"creationTimestamp": "2026-01-01T11:55:00Z"}
MODES = ["ReadWriteMany", "ReadWriteOnce"]
CASES: list[tuple[Kind[Any], dict[str, Any], list[Any]]] = [
    (
        PERSISTENTVOLUMES,
        {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": MODES, "storageClassName": "fast",
                  "claimRef": {"namespace": "default", "name": "data"}}, "status": {"phase": "Bound"}},
        ["web", "1Gi", "RWO,RWX", "Retain", "Bound", "default/data", "fast", "<unset>", "", "5m", "Filesystem"],
    ),
    (
        PERSISTENTVOLUMECLAIMS,
        {"spec": {"volumeName": "v", "storageClassName": "fast"},
         "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": MODES}},
        ["web", "Bound", "v", "1Gi", "RWO,RWX", "fast", "<unset>", "5m", "Filesystem"],
    ),
    (
        PERSISTENTVOLUMECLAIMS,
        {"metadata": {"deletionTimestamp": "2026-01-01T11:55:00Z"}},
        ["web", "Terminating", "", "", "", "", "<unset>", "5m", "Filesystem"],
    ),
    (
        STORAGECLASSES,
        {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"},
        ["web (default)", "p", "Delete", "Immediate", False, "5m"],
    ),
    (
        INGRESSES,
        {"spec": {"rules": [{"host": host} for host in "abcde"], "tls": [{}]},
         "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}},
        ["web", "<none>", "a,b,c + 2 more...", "10.0.0.1", "80, 443", "5m"],
    ),
    (INGRESSES, {"spec": {"ingressClassName": "x"}}, ["web", "x", "*", "", "80", "5m"]),
    (
        INGRESSCLASSES,
        {"spec": {"controller": "a.b/c", "parameters": {"apiGroup": "k.io", "kind": "P", "name": "n"}}},
        ["web", "a.b/c", "P.k.io/n", "5m"],
    ),
    (NETWORKPOLICIES, {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}, ["web", "a=b", "5m"]),
    (
        RESOURCEQUOTAS,
        {"status": {"hard": {"pods": 4, "cpu": 2, "limits.cpu": 3}, "used": {"pods": 1, "cpu": 1}}},
        ["web", "cpu: 1/2, pods: 1/4", "limits.cpu: 0/3", "5m"],
    ),
    (LIMITRANGES, {}, ["web", "2026-01-01T11:55:00Z"]),
    (RUNTIMECLASSES, {"handler": "runc"}, ["web", "runc", "5m"]),
    (PRIORITYCLASSES, {"value": 7}, ["web", 7, False, "5m", "PreemptLowerPriority"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "plain", "cells"), CASES, ids=[case[0].kind for case in CASES])
def test_cells(kind: Kind[Any], plain: dict[str, Any], cells: list[Any]) -> None:
    obj = made(kind, {**plain, "metadata": {**META, **plain.get("metadata", {})}})
    printer = PRINTERS[kind.group, kind.plural]
    assert list(printer.cells(obj, NOW)) == cells
    assert len(printer.columns) == len(cells)
