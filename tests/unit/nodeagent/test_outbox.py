"""What waits to be told to the control plane."""

from pathlib import Path

import msgspec
import pytest

from nodeagent.desired_state import DesiredState
from nodeagent.outbox import EVENTS_MAX, Outbox
from nodeagent.pod_instructions import EmitEvent, ReportStatus
from orch.api.event import Event
from orch.api.kinds import EVENTS
from orch.api.pod.status import PodStatus
from orch.kit.clock import SystemClock
from tests.unit.nodeagent.machine import a_pod

RUNNING = ReportStatus(PodStatus(phase="Running"))


@pytest.fixture
def desired(tmp_path: Path) -> DesiredState:
    state = DesiredState(tmp_path, tmp_path)
    state.load()
    return state


@pytest.fixture
def outbox(desired: DesiredState) -> Outbox:
    return Outbox("node-1", desired, SystemClock())


def phases(outbox: Outbox) -> list[str]:
    reports = [report for message in outbox.take() for report in message.pod_statuses.reports]
    return [msgspec.json.decode(report.status)["phase"] for report in reports]


def test_the_newest_status_of_a_pod_is_told_once(outbox: Outbox) -> None:
    outbox.pod_status(a_pod(), ReportStatus(PodStatus(phase="Pending")))
    outbox.pod_status(a_pod(), RUNNING)
    assert phases(outbox) == ["Running"]
    assert phases(outbox) == []


def test_what_nobody_waits_for_is_told_when_it_is_ripe(outbox: Outbox) -> None:
    outbox.event(a_pod(), EmitEvent("Normal", "Pulled", "image"))
    outbox.pod_status(a_pod(), ReportStatus(PodStatus(phase="Pending")))
    assert outbox.waiting.is_set()
    assert not outbox.wake.is_set()
    assert outbox.take() == []
    outbox.ripen()
    assert outbox.wake.is_set()
    assert not outbox.waiting.is_set()
    assert len(outbox.take()) == 2
    assert outbox.take() == []


def test_a_pod_that_stops_on_its_way_up_is_told_at_once(outbox: Outbox) -> None:
    outbox.pod_status(a_pod(), ReportStatus(PodStatus(phase="Pending"), stopped=True))
    assert phases(outbox) == ["Pending"]


def test_a_new_session_hears_everything_again(outbox: Outbox) -> None:
    outbox.pod_status(a_pod(), RUNNING)
    outbox.take()
    outbox.tell_all_again()
    assert outbox.wake.is_set()
    assert phases(outbox) == ["Running"]


def test_of_a_pod_that_is_gone_nothing_is_told(outbox: Outbox, desired: DesiredState) -> None:
    outbox.pod_status(a_pod(), RUNNING)
    outbox.forget("web-uid")
    assert phases(outbox) == []
    assert desired.status("web-uid") is None


def test_what_a_restarted_agent_needs_is_saved(outbox: Outbox, desired: DesiredState) -> None:
    outbox.pod_status(a_pod(), RUNNING)
    assert desired.status("web-uid") == RUNNING.status
    outbox.pod_status(a_pod(), ReportStatus(RUNNING.status, stopped=True))
    assert desired.status("web-uid") is None


def test_events_are_objects_about_the_pod_and_its_container(outbox: Outbox) -> None:
    outbox.event(a_pod(), EmitEvent("Warning", "BackOff", "again", "app"))
    outbox.ripen()
    (message,) = outbox.take()
    event: Event = EVENTS.codec.decode(message.events.events[0])
    about = event.involved_object
    assert (about.kind, about.name, about.uid, about.field_path) == ("Pod", "web", "web-uid", "spec.containers{app}")
    assert (event.type, event.reason, event.message, event.count) == ("Warning", "BackOff", "again", 1)
    assert (event.source.component, event.source.host) == ("kubelet", "node-1")


def test_events_that_nobody_hears_are_bounded(outbox: Outbox) -> None:
    for number in range(EVENTS_MAX + 5):
        outbox.event(a_pod(), EmitEvent("Normal", "Pulled", str(number)))
    outbox.ripen()
    (message,) = outbox.take()
    assert len(message.events.events) == EVENTS_MAX
