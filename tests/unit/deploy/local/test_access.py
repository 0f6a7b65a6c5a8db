"""When a node counts as Ready."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.access import ready_nodes

START = datetime(2026, 1, 1, tzinfo=UTC)


def node(ready: str) -> dict[str, Any]:
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def lease(seconds: int) -> dict[str, Any]:
    renewed = (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"metadata": {"name": "node-1"}, "spec": {"renewTime": renewed}}


@pytest.mark.parametrize(
    ("nodes", "leases", "heard_after", "ready"),
    [
        pytest.param([node("True")], [], {}, True, id="ran before"),
        pytest.param([node("Unknown")], [lease(1)], {}, False, id="not ready"),
        pytest.param([node("True")], [lease(-1)], {"node-1": START}, False, id="ready is what was kept from before"),
        pytest.param([node("True")], [lease(1)], {"node-1": START}, True, id="heard of since"),
        pytest.param([node("True")], [], {"node-1": START}, False, id="no lease yet"),
        pytest.param([], [], {}, False, id="no node yet"),
    ],
)
def test_ready_nodes(
    nodes: list[dict[str, Any]], leases: list[dict[str, Any]], heard_after: dict[str, datetime], ready: bool
) -> None:
    assert ready_nodes(nodes, leases, heard_after) == ({"node-1"} if ready else set())
