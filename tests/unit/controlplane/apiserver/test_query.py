"""What options a query string may carry together."""

import pytest

from controlplane.apiserver.query import Query, watch_options, write_options
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
        write_options(Query(f"fieldManager={manager}"), "PATCH")


def test_field_managers_that_are_taken() -> None:
    for manager in ("", "kubectl-client-side-apply", "x" * 128):
        write_options(Query(f"fieldManager={manager}"), "PATCH")
