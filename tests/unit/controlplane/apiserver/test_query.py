"""What options a query string may carry together."""

import pytest

from controlplane.apiserver.query import Query, apply_options, watch_options, write_options
from controlplane.registry.interface import WriteOptions
from orch.errors import Invalid


@pytest.mark.parametrize(
    "text",
    [
        "sendInitialEvents=true",
        "sendInitialEvents=false",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersionMatch=NotOlderThan&resourceVersion=5",
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
    ],
)
def test_a_watch_with_half_of_the_initial_events_options_is_invalid(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        watch_options(Query(text))
    assert [cause.field for cause in refused.value.causes] == ["resourceVersionMatch"]


def test_a_watch_with_initial_events() -> None:
    text = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    options = watch_options(Query(text))
    assert (options.send_initial_events, options.bookmarks) == (True, True)


@pytest.mark.parametrize("manager", ["x" * 129, "%C3%A9" * 65, "a%0Ab", "%07"])
def test_a_field_manager_is_short_and_printable(manager: str) -> None:
    with pytest.raises(Invalid, match=r"PatchOptions\.meta\.k8s\.io .*fieldManager"):
        write_options(Query(f"fieldManager={manager}"), "PATCH", "")


def test_field_managers_that_are_taken() -> None:
    for manager in ("kubectl-client-side-apply", "x" * 128):
        assert write_options(Query(f"fieldManager={manager}"), "PATCH", "curl/8").field_manager == manager


def test_without_a_field_manager_the_program_is_named() -> None:
    agents = {
        "kubectl/v1.33.0 (linux/amd64)": "kubectl",
        "OpenAPI-Generator/34.1.0/python": "OpenAPI-Generator",
        "": "unknown",
        "/x": "unknown",
        "a\x07b": "ab",
        "\u00e9" * 65: "\u00e9" * 64,
    }
    assert {agent: write_options(Query(""), "POST", agent).field_manager for agent in agents} == agents


def test_an_apply_names_its_manager_and_only_an_apply_forces() -> None:
    assert apply_options(Query("fieldManager=a&force=true")) == WriteOptions(field_manager="a", force=True)
    with pytest.raises(Invalid, match="fieldManager: Required value: is required for apply patch"):
        apply_options(Query("force=true"))
    with pytest.raises(Invalid, match="force: Forbidden: may not be specified for non-apply patch"):
        write_options(Query("force=true"), "PATCH", "")
