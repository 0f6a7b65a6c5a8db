"""Describe: what is shown of an object and of what belongs to it."""

from typing import Any

from orch.cli.describe.generic import title
from orch.cli.describe.pod import probe_text
from orch.cli.describe.service import endpoints
from orch.cli.describe.sheet import Sheet
from tests.unit.orch.cli.fake_api import Asked, Cli

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "default", "uid": "u", "labels": {"app": "web"}},
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "main", "image": "web:1", "env": [{"name": "A", "value": "b"}]}],
    },
    "status": {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "containerStatuses": [
            {"name": "main", "ready": True, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        ],
    },
}


def event(uid: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "e"},
        "type": "Warning",
        "reason": "BackOff",
        "message": "it failed\nagain",
        "count": 3,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:05:00Z",
        "source": {"component": "agent"},
    }


def test_a_pod_with_its_events(cli: Cli) -> None:
    def events(asked: Asked) -> tuple[int, Any]:
        assert "involvedObject.uid=u" in asked.query["fieldSelector"]
        return 200, {"items": [event("u")]}

    cli.api.put("/api/v1/namespaces/default/pods/a", POD)
    cli.api.routes["GET", "/api/v1/namespaces/default/events"] = events
    lines = [" ".join(line.split()) for line in cli.run("describe", "pod", "a").out.splitlines()]
    for expected in ("Name: a", "Node: node-1/10.0.0.1", "Image: web:1", "Restart Count: 2", "Environment: A: b"):
        assert expected in lines
    assert lines[lines.index("State: Waiting") + 1] == "Reason: CrashLoopBackOff"
    assert any("(x3 over" in line and line.endswith("it failed again") for line in lines)


def test_secrets_are_not_shown(cli: Cli) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "uid": "u"},
        "data": {"k": "c2VjcmV0"},
    }
    cli.api.put("/api/v1/namespaces/default/configmaps/s", secret)
    cli.api.put("/api/v1/namespaces/default/events", {"items": []})
    out = cli.run("describe", "cm", "s").out
    assert "k: 6 bytes" in out
    assert "c2VjcmV0" not in out


def test_sheets_align_values_of_one_depth() -> None:
    sheet = Sheet()
    sheet.line("A", 1)
    with sheet.section("Longer"):
        sheet.many("B", ["x", "y"])
    sheet.line("Cc", None)
    assert sheet.text() == "A:   1\nLonger:\n  B:  x\n      y\nCc:  <none>\n"


def test_titles() -> None:
    assert [title(name) for name in ("hostIPs", "podIP", "data", "clusterIP")] == [
        "Host IPs",
        "Pod IP",
        "Data",
        "Cluster IP",
    ]


def test_probes() -> None:
    probe = {"httpGet": {"path": "/x", "port": 80}, "periodSeconds": 2}
    assert probe_text(probe) == "http-get http://:80/x delay=0s timeout=1s period=2s #success=1 #failure=3"


def test_endpoints_of_one_port_that_are_ready() -> None:
    slices = [
        {
            "ports": [{"name": "http", "port": 8080}, {"name": "other", "port": 1}],
            "endpoints": [
                {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
                {"addresses": ["10.0.0.1"], "conditions": {}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": False}},
            ],
        }
    ]
    assert endpoints(slices, "http") == "10.0.0.1:8080,10.0.0.2:8080"
    assert endpoints([], "http") == ""
