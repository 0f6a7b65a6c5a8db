"""Delete: what is asked of the server, and the wait until the object is gone."""

from pathlib import Path
from typing import Any

import pytest

from orch.cli.failures import Exit
from tests.unit.orch.cli.fake_api import NOT_FOUND, Asked, Cli

PODS = "/api/v1/namespaces/default/pods"


def pod(uid: str) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "a", "namespace": "default", "uid": uid}}


def go_slowly(cli: Cli, *answers: tuple[int, Any]) -> None:
    """Reads after the delete get one answer after the other, the last one for ever."""
    left = list(answers)
    cli.api.put(f"{PODS}/a", pod("1"), method="DELETE")
    cli.api.routes["GET", f"{PODS}/a"] = lambda asked: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize(
    "last", [(404, NOT_FOUND), (200, pod("2"))], ids=["gone", "another object has taken its place"]
)
def test_it_waits_until_the_object_is_gone(cli: Cli, last: tuple[int, Any]) -> None:
    go_slowly(cli, (200, pod("1")), (200, pod("1")), last)
    outcome = cli.run("delete", "pod", "a")
    assert (outcome.code, outcome.out) == (Exit.OK, 'pod "a" deleted\n')
    assert [asked.method for asked in cli.api.asked[-4:]] == ["DELETE", "GET", "GET", "GET"]


def test_a_wait_that_is_too_long_has_a_code_of_its_own(cli: Cli) -> None:
    go_slowly(cli, (200, pod("1")))
    outcome = cli.run("delete", "pod", "a", "--timeout", "100ms")
    assert outcome.code == Exit.TIMEOUT
    assert outcome.err == "orch: pod/a is deleted but still stopping: not within 0.1s\n"
    assert cli.run("delete", "pod", "a", "--wait=false").code == Exit.OK


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"propagationPolicy": "Background"}),
        (["--cascade", "orphan"], {"propagationPolicy": "Orphan"}),
        (["--grace-period", "5"], {"propagationPolicy": "Background", "gracePeriodSeconds": 5}),
        (["--force"], {"propagationPolicy": "Background", "gracePeriodSeconds": 0}),
        (["--now"], {"propagationPolicy": "Background", "gracePeriodSeconds": 1}),
    ],
)
def test_options(cli: Cli, flags: list[str], expected: dict[str, Any]) -> None:
    go_slowly(cli, (404, NOT_FOUND))
    cli.run("delete", "pod/a", *flags)
    [(_, _, body)] = cli.api.changes()
    assert body == {"apiVersion": "v1", "kind": "DeleteOptions"} | expected


def test_missing_objects(cli: Cli) -> None:
    outcome = cli.run("delete", "pod", "a")
    assert outcome.code == Exit.NOT_FOUND
    assert cli.run("delete", "pod", "a", "--ignore-not-found").code == Exit.OK


def test_by_label_every_object_is_named(cli: Cli) -> None:
    def listed(asked: Asked) -> tuple[int, Any]:
        assert asked.query == {"labelSelector": "app=web"}
        return 200, {"items": [{"metadata": {"name": "a", "namespace": "default"}}]}

    go_slowly(cli, (404, NOT_FOUND))
    cli.api.routes["GET", PODS] = listed
    assert cli.run("delete", "pods", "-l", "app=web").out == 'pod "a" deleted\n'


def test_files_go_in_reverse_and_namespaces_last(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
    )
    paths = ["/api/v1/namespaces/default/configmaps/c", f"{PODS}/a", "/api/v1/namespaces/n"]
    for path in paths:
        cli.api.put(path, {"metadata": {}}, method="DELETE")
    assert cli.run("delete", "-f", str(file)).code == Exit.OK
    assert [path for _, path, _ in cli.api.changes()] == paths


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pods"], "which pods? Give names, -l LABELS or --all"),
        (["pod", "a", "--all"], "names together with -l or --all"),
        (["pod", "a", "--force", "--grace-period", "3"], "--force means a grace period of 0"),
        ([], "name a resource type"),
    ],
)
def test_a_careless_delete_is_refused(cli: Cli, words: list[str], message: str) -> None:
    outcome = cli.run("delete", *words)
    assert outcome.code == Exit.USAGE
    assert message in outcome.err
    assert cli.api.changes() == []
