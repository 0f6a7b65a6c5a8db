from typing import Any

import pytest

from orch.api.kinds import DEPLOYMENTS, REPLICASETS
from tests.unit.orch.api.objects import brief, container, deployment, made


def test_defaults() -> None:
    spec = deployment().spec
    assert (spec.replicas, spec.revision_history_limit, spec.progress_deadline_seconds) == (1, 10, 600)
    assert spec.strategy.type == "RollingUpdate"
    assert (spec.strategy.rolling_update.max_surge, spec.strategy.rolling_update.max_unavailable) == ("25%", "25%")
    assert spec.template.spec.restart_policy == "Always"


def test_zero_is_a_choice() -> None:
    spec = deployment(replicas=0, revisionHistoryLimit=0, strategy={"rollingUpdate": {"maxSurge": 0}}).spec
    assert (spec.replicas, spec.revision_history_limit, spec.strategy.rolling_update.max_surge) == (0, 0, 0)
    assert deployment(strategy={"type": "Recreate"}).spec.strategy.rolling_update is None


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"replicas": -1}, "replicas", "Invalid"),
        ({"minReadySeconds": 600}, "progressDeadlineSeconds", "Invalid"),
        ({"strategy": {"type": "Blue"}}, "strategy.type", "NotSupported"),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {}}}, "strategy.rollingUpdate", "Forbidden"),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            "strategy.rollingUpdate.maxUnavailable",
            "Invalid",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            "strategy.rollingUpdate.maxUnavailable",
            "Invalid",
        ),
        ({"strategy": {"rollingUpdate": {"maxSurge": "a few"}}}, "strategy.rollingUpdate.maxSurge", "Invalid"),
        ({"selector": {}}, "selector", "Invalid"),
        ({"selector": {"matchLabels": {"app": "db"}}}, "template.metadata.labels", "Invalid"),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "Like"}]}},
            "selector.matchExpressions[0].operator",
            "Invalid",
        ),
        ({"template": {"metadata": {"labels": {"app": "web"}}}}, "template.spec.containers", "Required"),
    ],
)
def test_a_bad_deployment(fields: dict[str, Any], path: str, reason: str) -> None:
    assert (f"spec.{path}", reason) in brief(DEPLOYMENTS.validate(deployment(**fields)))


def test_templates_restart_always() -> None:
    spec = {"containers": [container()], "restartPolicy": "Never", "activeDeadlineSeconds": 5}
    bad = deployment(template={"metadata": {"labels": {"app": "web"}}, "spec": spec})
    assert brief(DEPLOYMENTS.validate(bad)) == [
        ("spec.template.spec.restartPolicy", "NotSupported"),
        ("spec.template.spec.activeDeadlineSeconds", "Forbidden"),
    ]


def test_the_selector_never_changes() -> None:
    other = deployment(selector={"matchLabels": {"app": "db"}})
    assert brief(DEPLOYMENTS.validate_update(other, deployment())) == [("spec.selector", "Invalid")]


def test_replica_sets() -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container()]}}
    good = made(REPLICASETS, {"spec": {"selector": {"matchLabels": labels}, "template": template}})
    assert good.spec.replicas == 1
    assert REPLICASETS.validate(good) == []
    bad = made(REPLICASETS, {"spec": {"replicas": -1, "selector": {"matchLabels": {"a": "b"}}, "template": template}})
    assert brief(REPLICASETS.validate(bad)) == [
        ("spec.template.metadata.labels", "Invalid"),
        ("spec.replicas", "Invalid"),
    ]
    assert brief(REPLICASETS.validate_update(bad, good)) == [("spec.selector", "Invalid")]
