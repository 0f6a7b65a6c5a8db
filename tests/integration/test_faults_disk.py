"""The disk of a node fills up: what needs it fails and says so, nothing half-made stays, and when there is room again
the pods start by themselves."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orch.api.pod.spec import Pod
from tests.agent_lab import NODE_IP, AgentLab, agent_lab
from tests.integration.test_faults_images import SICK_PORT, a_pod, end, failures, serve
from tests.registry_server import Registry, registry_in

DISK_BYTES = 64 * 1024 * 1024
ROOM_BYTES = 64 * 1024
"""Too little for a layer, and for a while enough for what is small."""
RETRIED_S = 90.0
FULL_S = 1.0
NO_SPACE = "No space left on device"


@pytest.fixture
def machine() -> Iterator[AgentLab]:
    """Without relief by the agent: it would end the pods before the disk is full."""
    options = (f"--insecure-registry={NODE_IP}:{SICK_PORT}", "--eviction-hard=memory.available<1Mi")
    with agent_lab("disk", options=options, disk_bytes=DISK_BYTES) as made:
        yield made


@pytest.fixture
def registry(machine: AgentLab) -> Iterator[Registry]:
    with registry_in(machine.netns, NODE_IP, SICK_PORT) as made:
        yield made


def fill(machine: AgentLab, room_bytes: int = 0) -> Path:
    """The file that takes up all of the disk but some room."""
    path = machine.state_dir / "filler"
    with path.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(64 * 1024)):
                pass
        assert os.statvfs(path).f_bavail == 0
        if room_bytes:
            file.truncate(file.tell() - room_bytes)
    return path


def told(machine: AgentLab, pod: Pod) -> str:
    """Everything: the events and the status."""
    mine = [e["message"] for e in machine.wanted.events if e["involvedObject"]["uid"] == pod.metadata.uid]
    return "\n".join(mine) + str(machine.status(pod.metadata.uid))


def test_an_image_that_does_not_fit(machine: AgentLab, registry: Registry) -> None:
    pod = a_pod("pulled", serve(registry, "app"))
    filler = fill(machine, ROOM_BYTES)
    uid = machine.run(pod)
    machine.until(lambda: NO_SPACE in "".join(failures(machine, uid)), "the failed pull to be told")
    assert os.listdir(machine.state_dir / "images/incoming") == []
    filler.unlink()
    machine.until(lambda: machine.runs(uid), "the pod to run", RETRIED_S)
    end(machine, pod)


def test_a_container_for_which_there_is_no_room(machine: AgentLab) -> None:
    """The image is there; what is missing is room for folders, logs and the agent's own notes."""
    pod, before = a_pod("started", "busybox:1"), a_pod("before", "busybox:1")
    kept = machine.run(before)
    machine.until(lambda: machine.runs(kept), "a pod to run")
    filler = fill(machine)
    uid = machine.run(pod)
    machine.until(lambda: NO_SPACE in told(machine, pod), "the reason to be told")
    assert not machine.runs(uid)
    assert machine.is_running()
    assert machine.runs(kept)
    filler.unlink()
    machine.until(lambda: machine.runs(uid), "the pod to run", RETRIED_S)
    assert machine.restarts(kept) == [0]
    end(machine, pod, before)


def test_what_prints_on_a_full_disk_runs_on_and_its_log_goes_on_later(machine: AgentLab) -> None:
    script = f"while :; do echo {'x' * 1000}; sleep 0.02; done"  # soon more than what is left of the log's last page
    talker = a_pod("talker", "busybox:1", script)
    uid = machine.run(talker)
    machine.until(lambda: machine.runs(uid), "the pod to run")
    [log] = (machine.state_dir / "logs/pods").glob("*talker*/app/0.log")
    filler = fill(machine)
    machine.pause(FULL_S)
    full = log.stat().st_size
    machine.pause(FULL_S)
    assert log.stat().st_size == full
    filler.unlink()
    machine.until(lambda: log.stat().st_size > full, "the log to go on", 10)
    assert machine.restarts(uid) == [0]
    end(machine, talker)


def test_the_agent_starts_on_a_full_disk(machine: AgentLab) -> None:
    pod = a_pod("kept", "busybox:1")
    uid = machine.run(pod)
    machine.until(lambda: machine.runs(uid), "the pod to run")
    filler = fill(machine)
    machine.wanted.forget_reports()
    machine.restart()
    machine.until(lambda: machine.runs(uid) and machine.is_running(), "the pod to be adopted")
    assert machine.restarts(uid) == [0]
    filler.unlink()
    end(machine, pod)
