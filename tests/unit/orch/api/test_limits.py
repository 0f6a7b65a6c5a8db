"""Defaults and rules of ResourceQuota, LimitRange, PriorityClass and RuntimeClass."""

from typing import Any

import pytest

from orch.api.kind import Kind
from orch.api.kinds import LIMITRANGES, PRIORITYCLASSES, RESOURCEQUOTAS, RUNTIMECLASSES
from tests.unit.orch.api.objects import brief, made


def quota(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def limits(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"limits": list(items)}}


def selector(**requirement: Any) -> dict[str, Any]:
    return {"matchExpressions": [requirement]}


MATCH, LIMIT = "spec.scopeSelector.matchExpressions", "spec.limits[0]"
CASES: list[tuple[Kind[Any], dict[str, Any], list[tuple[str, str]]]] = [
    (RESOURCEQUOTAS, quota(hard={"pods": 1, "requests.cpu": "1", "count/jobs.batch": 2, "a.b/c": 1}), []),
    (RESOURCEQUOTAS, quota(hard={"apples": 1}), [("spec.hard[apples]", "Invalid")]),
    (RESOURCEQUOTAS, quota(hard={"pods": "-1"}), [("spec.hard[pods]", "Invalid")]),
    (RESOURCEQUOTAS, quota(hard={"pods": "500m"}), [("spec.hard[pods]", "Invalid")]),
    (RESOURCEQUOTAS, quota(scopes=["Any"]), [("spec.scopes", "Invalid")]),
    (RESOURCEQUOTAS, quota(scopes=["BestEffort", "NotBestEffort"]), [("spec.scopes", "Invalid")]),
    (RESOURCEQUOTAS, quota(hard={"services": 1}, scopes=["Terminating"]), [("spec.scopes", "Invalid")]),
    (RESOURCEQUOTAS, quota(hard={"cpu": 1}, scopes=["BestEffort"]), [("spec.scopes", "Invalid")]),
    (RESOURCEQUOTAS, quota(hard={"pods": 1}, scopes=["BestEffort"]), []),
    (
        RESOURCEQUOTAS,
        quota(scopeSelector=selector(scopeName="PriorityClass", operator="In", values=["high"])),
        [],
    ),
    (
        RESOURCEQUOTAS,
        quota(scopeSelector=selector(scopeName="PriorityClass", operator="In")),
        [(f"{MATCH}.values", "Required")],
    ),
    (
        RESOURCEQUOTAS,
        quota(scopeSelector=selector(scopeName="BestEffort", operator="NotIn", values=["x"])),
        [(f"{MATCH}.operator", "Invalid")],
    ),
    (LIMITRANGES, limits({"type": "Container", "max": {"cpu": 1}, "min": {"cpu": "100m"}}), []),
    (LIMITRANGES, limits({"type": "Box"}), [(f"{LIMIT}.type", "Invalid")]),
    (LIMITRANGES, limits({"type": "Pod"}, {"type": "Pod"}), [("spec.limits[1].type", "Duplicate")]),
    (LIMITRANGES, limits({"type": "Pod", "default": {"cpu": 1}}), [(f"{LIMIT}.default", "Forbidden")]),
    (LIMITRANGES, limits({"type": "PersistentVolumeClaim"}), [(f"{LIMIT}.limits", "Required")]),
    (LIMITRANGES, limits({"type": "Pod", "max": {"apples": 1}}), [(f"{LIMIT}.max[apples]", "Invalid")]),
    (LIMITRANGES, limits({"type": "Pod", "min": {"cpu": 2}, "max": {"cpu": 1}}), [(f"{LIMIT}.min[cpu]", "Invalid")]),
    (
        LIMITRANGES,
        limits({"type": "Container", "defaultRequest": {"cpu": 2}, "default": {"cpu": 1}}),
        [(f"{LIMIT}.defaultRequest[cpu]", "Invalid")],
    ),
    (
        LIMITRANGES,
        limits({"type": "Container", "default": {"cpu": 2}, "defaultRequest": {"cpu": 1}, "max": {"cpu": 1}}),
        [(f"{LIMIT}.default[cpu]", "Invalid")],
    ),
    (
        LIMITRANGES,
        limits({"type": "Container", "default": {"hugepages-2Mi": "4Mi"}, "defaultRequest": {"hugepages-2Mi": "2Mi"}}),
        [(f"{LIMIT}.defaultRequest[hugepages-2Mi]", "Invalid")],
    ),
    (
        LIMITRANGES,
        limits({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}),
        [(f"{LIMIT}.maxLimitRequestRatio[cpu]", "Invalid")],
    ),
    (
        LIMITRANGES,
        limits({"type": "Pod", "min": {"cpu": 1}, "max": {"cpu": 2}, "maxLimitRequestRatio": {"cpu": 3}}),
        [(f"{LIMIT}.maxLimitRequestRatio[cpu]", "Invalid")],
    ),
    (PRIORITYCLASSES, {"value": 1_000_000_000}, []),
    (PRIORITYCLASSES, {"value": 1_000_000_001}, [("value", "Forbidden")]),
    (PRIORITYCLASSES, {"preemptionPolicy": "Always"}, [("preemptionPolicy", "NotSupported")]),
    (PRIORITYCLASSES, {"metadata": {"name": "system-mine"}}, [("metadata.name", "Forbidden")]),
    (PRIORITYCLASSES, {"metadata": {"name": "system-node-critical"}, "value": 5}, [("metadata.name", "Forbidden")]),
    (PRIORITYCLASSES, {"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}, []),
    (RUNTIMECLASSES, {"handler": "crun", "overhead": {"podFixed": {"memory": "64Mi"}}}, []),
    (RUNTIMECLASSES, {"handler": "A b"}, [("handler", "Invalid")]),
    (
        RUNTIMECLASSES,
        {"handler": "a", "overhead": {"podFixed": {"cpu": "-1"}}},
        [("overhead.podFixed[cpu]", "Invalid")],
    ),
    (
        RUNTIMECLASSES,
        {"handler": "a", "scheduling": {"nodeSelector": {"a": "b c"}, "tolerations": [{"operator": "Is", "key": "a"}]}},
        [("scheduling.nodeSelector", "Invalid"), ("scheduling.tolerations[0].operator", "NotSupported")],
    ),
]


@pytest.mark.parametrize(
    ("kind", "plain", "causes"), CASES, ids=[f"{kind.kind}-{index}" for index, (kind, _, _) in enumerate(CASES)]
)
def test_rules(kind: Kind[Any], plain: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    assert brief(kind.validate(made(kind, plain))) == causes


@pytest.mark.parametrize(
    ("kind", "old", "new", "causes"),
    [
        (RESOURCEQUOTAS, quota(scopes=["BestEffort"]), quota(), [("spec.scopes", "Invalid")]),
        (PRIORITYCLASSES, {"value": 1}, {"value": 2}, [("value", "Forbidden")]),
        (PRIORITYCLASSES, {}, {"preemptionPolicy": "Never"}, [("preemptionPolicy", "Invalid")]),
        (RUNTIMECLASSES, {"handler": "a"}, {"handler": "b"}, [("handler", "Invalid")]),
    ],
)
def test_what_stays(kind: Kind[Any], old: dict[str, Any], new: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    assert brief(kind.validate_update(made(kind, new), made(kind, old))) == causes


def test_defaults_of_container_limits_follow_each_other() -> None:
    item = made(
        LIMITRANGES,
        limits({"type": "Container", "max": {"cpu": 4, "memory": "2Gi"}, "min": {"pods": 1}, "default": {"cpu": 2}}),
    ).spec.limits[0]
    assert item.default == {"cpu": "2", "memory": "2Gi"}
    assert item.default_request == {"pods": "1", "cpu": "2", "memory": "2Gi"}


def test_amounts_become_canonical() -> None:
    assert made(RESOURCEQUOTAS, quota(hard={"cpu": "2000m"})).spec.hard == {"cpu": "2"}
    fixed = {"overhead": {"podFixed": {"memory": "1024Mi"}}}
    assert made(RUNTIMECLASSES, fixed).overhead.pod_fixed == {"memory": "1Gi"}
    assert made(PRIORITYCLASSES, {}).preemption_policy == "PreemptLowerPriority"
