"""label, annotate, patch, cordon: which patch is sent to which object, and what is refused before anything is sent."""

import pytest

from orch.cli.failures import CliError, Exit
from orch.cli.patching import split_words
from tests.unit.orch.cli.fake_api import Cli

POD = "/api/v1/namespaces/default/pods/web"
NODE = "/api/v1/nodes/node-1"


@pytest.fixture
def labelled(cli: Cli) -> Cli:
    cli.api.put(POD, {"metadata": {"name": "web", "labels": {"tier": "front"}}})
    cli.api.put(POD, {"metadata": {"name": "web"}}, method="PATCH")
    return cli


def test_words_are_names_or_changes() -> None:
    words = ["pod", "web", "tier=back", "old-", "empty="]
    assert split_words(words) == (["pod", "web"], {"tier": "back", "old": None, "empty": ""})
    with pytest.raises(CliError, match="KEY=VALUE"):
        split_words(["pod/web"])


@pytest.mark.parametrize(
    ("verb", "field", "said"), [("label", "labels", "labeled"), ("annotate", "annotations", "annotated")]
)
def test_entries_are_set_and_taken_away(labelled: Cli, verb: str, field: str, said: str) -> None:
    done = labelled.run(verb, "pod", "web", "a=b", "c-")
    assert (done.code, done.out) == (Exit.OK, f"pod/web {said}\n")
    assert labelled.api.changes() == [("PATCH", POD, {"metadata": {field: {"a": "b", "c": None}}})]


def test_a_value_is_replaced_only_when_asked(labelled: Cli) -> None:
    refused = labelled.run("label", "pod/web", "tier=back")
    assert refused.code == Exit.ERROR
    assert "tier is 'front'" in refused.err
    assert labelled.api.changes() == []
    assert labelled.run("label", "pod/web", "tier=back", "--overwrite").code == Exit.OK


@pytest.mark.parametrize(
    ("kind", "text", "content_type"),
    [
        ("strategic", "{spec: {replicas: 2}}", "application/strategic-merge-patch+json"),
        ("merge", '{"spec":{"replicas":2}}', "application/merge-patch+json"),
        ("json", '[{"op":"remove","path":"/spec"}]', "application/json-patch+json"),
    ],
)
def test_a_patch_goes_as_its_type(labelled: Cli, kind: str, text: str, content_type: str) -> None:
    assert labelled.run("patch", "pod", "web", "--type", kind, "-p", text).out == "pod/web patched\n"
    assert labelled.api.asked[-1].headers["Content-Type"] == content_type


def test_a_patch_that_is_none_is_refused(labelled: Cli) -> None:
    assert labelled.run("patch", "pod/web", "-p", "{").code == Exit.USAGE
    assert labelled.run("patch", "pod/web", "-p", "word").code == Exit.USAGE
    assert labelled.api.changes() == []


def test_a_node_is_cordoned_once(cli: Cli) -> None:
    cli.api.put(NODE, {"metadata": {"name": "node-1"}, "spec": {}})
    cli.api.put(NODE, {"metadata": {"name": "node-1"}}, method="PATCH")
    assert cli.run("cordon", "node-1").out == "node/node-1 cordoned\n"
    assert cli.run("uncordon", "node-1").out == "node/node-1 already uncordoned\n"
    assert cli.api.changes() == [("PATCH", NODE, {"spec": {"unschedulable": True}})]
