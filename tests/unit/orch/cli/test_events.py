"""Events, oldest first, old and new style."""

from typing import Any

from tests.unit.orch.cli.fake_api import Cli

EVENTS = "/api/v1/namespaces/default/events"


def event(name: str, when: dict[str, Any], kind: str = "Normal") -> dict[str, Any]:
    about = {"kind": "Pod", "name": name}
    return {"metadata": {"name": name}, "type": kind, "reason": "R", "message": "m", "involvedObject": about} | when


def test_order_and_types(cli: Cli) -> None:
    cli.api.put(
        EVENTS,
        {
            "metadata": {"resourceVersion": "1"},
            "items": [
                event("late", {"lastTimestamp": "2026-01-02T00:00:00Z"}),
                event("series", {"series": {"count": 2, "lastObservedTime": "2026-01-03T00:00:00.000000Z"}}, "Warning"),
                event("early", {"eventTime": "2026-01-01T00:00:00.000000Z"}),
            ],
        },
    )
    assert [line.split()[3] for line in cli.run("events", "--no-headers").out.splitlines()[:2]] == [
        "pod/early",
        "pod/late",
    ]
    assert "pod/series" in cli.run("events", "--types", "warning", "--no-headers").out
    assert cli.run("events", "--types", "warning", "--no-headers").out.count("\n") == 1


def test_of_one_object(cli: Cli) -> None:
    cli.api.put(EVENTS, {"metadata": {"resourceVersion": "1"}, "items": []})
    assert cli.run("events", "--for", "po/a").err == "No events found in default namespace.\n"
    assert cli.api.asked[-1].query == {"fieldSelector": "involvedObject.kind=Pod,involvedObject.name=a"}
