"""Rollouts: what progress says, and what undo puts back."""

from typing import Any

import pytest

from orch.cli.failures import CliError, Exit
from orch.cli.rollout import progress
from tests.unit.orch.cli.fake_api import Cli

WEB = "/apis/apps/v1/namespaces/default/deployments/web"
SETS = "/apis/apps/v1/namespaces/default/replicasets"


def deployment(revision: int = 2, paused: bool = False, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "default", "uid": "d", "generation": 2, "resourceVersion": "5",
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        },
        "spec": {
            "replicas": 3, "paused": paused, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": f"v{revision}"}},
        },
        "status": {"observedGeneration": 2} | status,
    }  # fmt: skip


def replica_set(revision: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"web-{revision}",
            "ownerReferences": [{"uid": "d"}],
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        },
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}}, "spec": {"image": f"v{revision}"}
            }
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "text", "done"),
    [
        ({"observedGeneration": 1}, "Waiting for deployment spec update to be observed...", False),
        ({"updatedReplicas": 1}, "1 out of 3 new replicas have been updated...", False),
        ({"updatedReplicas": 3, "replicas": 5}, "2 old replicas are pending termination...", False),
        (
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 1},
            "1 of 3 updated replicas are available...", False,
        ),
        (
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3},
            'deployment "web" successfully rolled out', True,
        ),
    ],
)  # fmt: skip
def test_progress(status: dict[str, Any], text: str, done: bool) -> None:
    said, ended = progress(deployment(**status))
    assert said.endswith(text)
    assert ended == done


def test_a_rollout_past_its_deadline_fails() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
    with pytest.raises(CliError, match="exceeded its progress deadline: too slow"):
        progress(deployment(conditions=[condition]))


def test_status_prints_each_change_once_and_waits(cli: Cli) -> None:
    steps = [
        {"updatedReplicas": 1},
        {"updatedReplicas": 1},
        {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3},
    ]
    cli.api.routes["GET", WEB] = lambda asked: (200, deployment(**(steps.pop(0) if len(steps) > 1 else steps[0])))
    outcome = cli.run("rollout", "status", "deploy/web")
    assert outcome.code == Exit.OK
    assert len(outcome.out.splitlines()) == 2


def test_status_that_takes_too_long(cli: Cli) -> None:
    cli.api.put(WEB, deployment())
    assert cli.run("rollout", "status", "deploy/web", "--timeout", "50ms").code == Exit.TIMEOUT


@pytest.mark.parametrize(("flags", "image"), [([], "v2"), (["--to-revision", "1"], "v1")])
def test_undo_puts_an_older_template_back(cli: Cli, flags: list[str], image: str) -> None:
    cli.api.put(WEB, deployment(3))
    cli.api.put(SETS, {"items": [replica_set(1), replica_set(2), replica_set(3)]})
    cli.api.put(WEB, {}, method="PATCH")
    assert cli.run("rollout", "undo", "deploy/web", *flags).out == "deployment.apps/web rolled back\n"
    [(_, _, patch)] = cli.api.changes()
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"image": image}}
    assert patch == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "5"},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]


def test_undo_to_what_is_not_kept(cli: Cli) -> None:
    cli.api.put(WEB, deployment(2))
    cli.api.put(SETS, {"items": [replica_set(2)]})
    assert "an earlier revision is not kept: there are 2" in cli.run("rollout", "undo", "deploy/web").err
    outcome = cli.run("rollout", "undo", "deploy/web", "--to-revision", "9")
    assert (outcome.code, "revision 9 is not kept" in outcome.err) == (Exit.NOT_FOUND, True)


def test_pause_resume_restart(cli: Cli) -> None:
    cli.api.put(WEB, {}, method="PATCH")
    cli.api.put(WEB, deployment())
    assert cli.run("rollout", "pause", "deploy/web").out == "deployment.apps/web paused\n"
    assert cli.run("rollout", "restart", "deploy/web").out == "deployment.apps/web restarted\n"
    assert "is not paused" in cli.run("rollout", "resume", "deploy/web").err
    cli.api.put(WEB, deployment(paused=True))
    assert "is already paused" in cli.run("rollout", "pause", "deploy/web").err
    assert "is paused" in cli.run("rollout", "restart", "deploy/web").err
    assert cli.run("rollout", "resume", "deploy/web").code == Exit.OK
    assert cli.api.changes()[0][2] == {"spec": {"paused": True}}
    assert cli.api.changes()[-1][2] == {"spec": {"paused": None}}


def test_history(cli: Cli) -> None:
    cli.api.put(WEB, deployment(2))
    cli.api.put(SETS, {"items": [replica_set(2), replica_set(1)]})
    lines = cli.run("rollout", "history", "deploy/web").out.splitlines()
    assert [line.split()[0] for line in lines] == ["deployment.apps/web", "REVISION", "1", "2"]
