"""Lists as users of kubectl know them."""

import json

import pytest

from orch.cli.failures import Exit
from tests.unit.orch.cli.fake_api import NOT_FOUND, Cli, table

PODS = "/api/v1/namespaces/default/pods"


def test_a_table_is_aligned_and_wide_shows_more(cli: Cli) -> None:
    cli.api.put(
        PODS, table([["web-1", "1/1", None], ["longer-name", "0/1", "node-1"]], "Name", "Ready", wide=("Node",))
    )
    assert cli.run("get", "po").out == "NAME          READY\nweb-1         1/1\nlonger-name   0/1\n"
    assert cli.run("get", "pod", "-o", "wide").out.splitlines()[1] == "web-1         1/1     <none>"
    assert cli.run("get", "pods", "--no-headers").out.splitlines()[0].startswith("web-1")


def test_columns_that_the_request_adds(cli: Cli) -> None:
    cli.api.put("/api/v1/pods", table([["web-1"]], "Name"))
    outcome = cli.run("get", "pods", "-A", "-L", "app,tier", "--show-labels", "-l", "app=web")
    assert outcome.out.splitlines() == [
        "NAMESPACE   NAME    APP   TIER     LABELS",
        "default     web-1   web   <none>   app=web",
    ]
    assert cli.api.asked[-1].query == {"labelSelector": "app=web", "includeObject": "Metadata"}


def test_several_types_are_told_apart(cli: Cli) -> None:
    cli.api.put(PODS, table([["web-1"]], "Name"))
    cli.api.put("/api/v1/namespaces/default/services", table([["web"]], "Name"))
    cli.api.put("/apis/apps/v1/namespaces/default/deployments", table([], "Name"))
    cli.api.put("/apis/apps/v1/namespaces/default/replicasets", table([], "Name"))
    assert cli.run("get", "all").out == "NAME\npod/web-1\n\nNAME\nservice/web\n"
    assert cli.run("get", "pod,svc").out == "NAME\npod/web-1\n\nNAME\nservice/web\n"


def test_nothing_there(cli: Cli) -> None:
    cli.api.put(PODS, table([], "Name"))
    outcome = cli.run("get", "pods")
    assert (outcome.code, outcome.out) == (Exit.OK, "")
    assert outcome.err == "No resources found in default namespace.\n"


def test_a_missing_object_among_others(cli: Cli) -> None:
    cli.api.put(f"{PODS}/a", table([["a"]], "Name"))
    cli.api.put(f"{PODS}/b", NOT_FOUND | {"message": 'pods "b" not found'}, status=404)
    outcome = cli.run("get", "pods", "a", "b")
    assert (outcome.code, outcome.out) == (Exit.NOT_FOUND, "NAME\na\n")
    assert outcome.err == 'orch: pods "b" not found\n'
    assert cli.run("get", "pods", "a", "b", "--ignore-not-found").code == Exit.OK


def test_json_yaml_and_names(cli: Cli) -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "managedFields": [1]}}
    cli.api.put(f"{PODS}/a", obj)
    cli.api.put(PODS, {"kind": "PodList", "items": [{"metadata": {"name": "a"}}]})
    assert json.loads(cli.run("get", "pod/a", "-o", "json").out) == obj | {"metadata": {"name": "a"}}
    shown = cli.run("get", "pod", "a", "-o", "json", "--show-managed-fields").out
    assert json.loads(shown)["metadata"]["managedFields"] == [1]
    assert cli.run("get", "pod", "a", "-o", "yaml").out == "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"
    listed = json.loads(cli.run("get", "pods", "-o", "json").out)
    assert (listed["kind"], listed["items"]) == (
        "List",
        [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}],
    )
    assert cli.run("get", "pods", "-o", "name").out == "pod/a\n"


def test_watch_prints_rows_as_they_come_and_resumes(cli: Cli) -> None:
    """The server ends the first watch; the second says that history is gone, which ends the command."""
    cli.api.put(PODS, table([["web-1", "0/1"]], "Name", "Ready"))
    listed = cli.api.routes["GET", PODS]
    row = {"cells": ["web-1", "1/1"], "object": {"metadata": {"name": "web-1", "resourceVersion": "9"}}}
    events = [{"type": "MODIFIED", "object": {"kind": "Table", "rows": [row]}}]
    gone = {"type": "ERROR", "object": {"kind": "Status", "reason": "Expired", "code": 410, "message": "too old"}}

    def answer(asked):  # type: ignore[no-untyped-def]
        if not asked.query.get("watch"):
            return listed(asked)
        return 200, [
            json.dumps(event) + "\n" for event in (events if asked.query["resourceVersion"] == "7" else [gone])
        ]

    cli.api.routes["GET", PODS] = answer
    outcome = cli.run("get", "pods", "-w")
    assert outcome.out == "NAME    READY\nweb-1   0/1\nweb-1   1/1\n"
    assert cli.api.asked[-1].query["resourceVersion"] == "9"
    assert (outcome.code, outcome.err) == (Exit.ERROR, "orch: too old\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nope"], Exit.ERROR, 'no resource type "nope"'),
        (["pod/a", "b"], Exit.USAGE, "'b' is no TYPE/NAME"),
        (["pods,svc", "-w"], Exit.USAGE, "--watch follows one type"),
    ],
)
def test_words_that_mean_nothing(cli: Cli, words: list[str], code: int, message: str) -> None:
    outcome = cli.run("get", *words)
    assert outcome.code == code
    assert message in outcome.err


def test_short_names_cost_one_discovery_only(cli: Cli) -> None:
    cli.api.put(PODS, table([], "Name"))
    cli.run("get", "po")
    before = len(cli.api.asked)
    cli.run("get", "deploy,po")
    assert [asked.path for asked in cli.api.asked[before:]] == ["/apis/apps/v1/namespaces/default/deployments", PODS]


def test_warnings_of_the_server_are_shown_once(cli: Cli) -> None:
    cli.api.warning = "this field does nothing"
    cli.api.put(PODS, table([], "Name"))
    assert cli.run("get", "pods").err.count("Warning: this field does nothing") == 1
