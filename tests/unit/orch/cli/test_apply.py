"""Apply: created, configured, unchanged; nothing changes when anything is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from orch.cli.apply import LAST_APPLIED, annotated
from orch.cli.failures import Exit
from tests.unit.orch.cli.fake_api import Asked, Cli

MAPS = "/api/v1/namespaces/default/configmaps"
CONFLICT = {"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409, "message": "exists"}


def config_map(name: str, namespace: str = "", **data: str) -> str:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}) + "\n---\n"


def invalid(field: str) -> dict[str, Any]:
    causes = [{"reason": "FieldValueInvalid", "message": "Invalid value", "field": field}]
    details = {"name": "b", "kind": "ConfigMap", "causes": causes}
    return {
        "kind": "Status",
        "status": "Failure",
        "reason": "Invalid",
        "code": 422,
        "message": "no",
        "details": details,
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.yaml"


def echo(asked: Asked) -> tuple[int, Any]:
    return 201, asked.body


def test_a_new_object_is_created_with_its_own_text(cli: Cli, file: Path) -> None:
    file.write_text(config_map("a", k="v"))
    cli.api.routes["POST", MAPS] = echo
    assert cli.run("apply", "-f", str(file)).out == "configmap/a created\n"
    [(_, _, body)] = cli.api.changes()
    assert json.loads(body["metadata"]["annotations"][LAST_APPLIED])["data"] == {"k": "v"}
    assert all(asked.query["fieldValidation"] == "Strict" for asked in cli.api.asked if asked.method == "POST")


def test_an_object_that_is_so_already_is_not_written(cli: Cli, file: Path) -> None:
    file.write_text(config_map("a", k="v"))
    plain = json.loads(config_map("a", k="v").partition("\n")[0])
    cli.api.put(f"{MAPS}/a", annotated(plain, "default"))
    assert cli.run("apply", "-f", str(file)).out == "configmap/a unchanged\n"
    assert cli.api.changes() == []


def test_only_what_differs_is_sent_and_what_left_the_file_goes(cli: Cli, file: Path) -> None:
    file.write_text(config_map("a", kept="1", changed="new"))
    before = json.loads(config_map("a", kept="1", changed="old", dropped="x").partition("\n")[0])
    live = annotated(before, "default")
    live["data"]["others"] = "stays"
    cli.api.put(f"{MAPS}/a", live)
    cli.api.put(f"{MAPS}/a", live, method="PATCH")
    assert cli.run("apply", "-f", str(file)).out == "configmap/a configured\n"
    [(_, _, patch)] = cli.api.changes()
    assert patch["data"] == {"changed": "new", "dropped": None}


def test_one_bad_document_leaves_all_others_undone(cli: Cli, file: Path) -> None:
    file.write_text(config_map("a") + config_map("b"))

    def answer(asked: Asked) -> tuple[int, Any]:
        return (422, invalid("data.k")) if asked.body["metadata"]["name"] == "b" else echo(asked)

    cli.api.routes["POST", MAPS] = answer
    outcome = cli.run("apply", "-f", str(file))
    assert outcome.code == Exit.ERROR
    assert outcome.err == f"orch: {file}: document 2 (ConfigMap b): data.k: Invalid value\n"
    assert cli.api.changes() == []


def test_namespaces_come_first_and_their_objects_are_checked_elsewhere(cli: Cli, file: Path) -> None:
    namespace = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
    file.write_text(config_map("a", namespace="new") + namespace)
    cli.api.routes["POST", "/api/v1/namespaces"] = echo
    cli.api.routes["POST", "/api/v1/namespaces/new/configmaps"] = echo
    cli.api.put(MAPS, CONFLICT, method="POST", status=409)
    assert cli.run("apply", "-f", str(file)).out == "namespace/new created\nconfigmap/a created\n"
    assert [path for _, path, _ in cli.api.changes()] == ["/api/v1/namespaces", "/api/v1/namespaces/new/configmaps"]


def test_admission_may_refuse_what_names_an_object_of_the_same_file(cli: Cli, file: Path) -> None:
    account = json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    file.write_text(config_map("a") + account)
    cli.api.routes["POST", "/api/v1/namespaces/default/serviceaccounts"] = echo
    refusal = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no robot"}
    cli.api.routes["POST", MAPS] = lambda asked: (403, refusal) if "dryRun" in asked.query else echo(asked)
    assert cli.run("apply", "-f", str(file)).out == "serviceaccount/robot created\nconfigmap/a created\n"


def test_server_dry_run_changes_nothing(cli: Cli, file: Path) -> None:
    file.write_text(config_map("a"))
    cli.api.routes["POST", MAPS] = echo
    assert cli.run("apply", "-f", str(file), "--dry-run", "server").out == "configmap/a created (server dry run)\n"
    assert cli.api.changes() == []


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        pytest.param(
            '{"apiVersion": "apps/v1", "kind": "Deploymnt", "metadata": {"name": "x"}}', [],
            'document 1 (Deploymnt x): no kind "Deploymnt" in apps/v1: known there: Deployment, ReplicaSet', id="kind",
        ),
        pytest.param(
            '{"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "x"}}', [],
            'no kind "Deployment" in apps/v1beta1: use apiVersion apps/v1', id="version",
        ),
        pytest.param(
            config_map("a", namespace="b"), ["-n", "c"], "metadata.namespace: is 'b', but -n says 'c'", id="namespace"
        ),
        pytest.param(
            '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "annotations": []}}', [],
            "metadata.annotations: must be a mapping", id="annotations",
        ),
    ],
)  # fmt: skip
def test_faults_that_need_no_server(cli: Cli, file: Path, content: str, arguments: list[str], message: str) -> None:
    file.write_text(content)
    outcome = cli.run("apply", "-f", str(file), *arguments)
    assert outcome.code == Exit.ERROR
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
