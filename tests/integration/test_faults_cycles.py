"""Pods start and stop over and over: nothing is left of them, and the agent does not grow.

ORCH_TEST_CYCLES=1000 asks for so many pods instead of a few, some minutes' work.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orch.api.kinds import PODS, SECRETS
from orch.api.pod.spec import Pod
from tests.agent_lab import AgentLab, agent_lab
from tests.agent_pods import SECRET, a_pod

CYCLES = int(os.environ.get("ORCH_TEST_CYCLES", "24"))
AT_ONCE = 4
WARM_UP = CYCLES // 3
"""Pods after which the agent has loaded and kept what it loads and keeps."""
THREADS_MORE_MAX, MEMORY_MORE_MAX_BYTES = 8, 12 << 20


@dataclass(frozen=True)
class Size:
    """What the agent's process holds."""

    files: int
    threads: int
    memory_bytes: int


@pytest.fixture
def machine() -> Iterator[AgentLab]:
    with agent_lab("cycles") as made:
        made.wanted.put(SECRETS, SECRET)
        yield made


def size(pid: int) -> Size:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files, threads = (len(os.listdir(f"/proc/{pid}/{folder}")) for folder in ("fd", "task"))
    return Size(files, threads, pages * os.sysconf("SC_PAGE_SIZE"))


def cycle(machine: AgentLab, pods: list[Pod]) -> None:
    uids = [machine.run(pod) for pod in pods]
    machine.until(lambda: all(machine.runs(uid) for uid in uids), "the pods to run")
    assert [machine.restarts(uid) for uid in uids] == [[0, 0, 0]] * len(uids)
    for pod in pods:
        machine.delete(pod)
    machine.until(lambda: all(machine.wanted.is_stopped(uid) for uid in uids), "the pods to be stopped")
    for uid in uids:
        machine.wanted.drop(PODS, uid)


def test_many_pods_come_and_go_and_leave_nothing(machine: AgentLab) -> None:
    around, warm = set[str](), size(machine.pid)
    for first in range(0, CYCLES, AT_ONCE):
        cycle(machine, [a_pod(number, 8080 + number % AT_ONCE) for number in range(first, first + AT_ONCE)])
        if first == 0:
            machine.note_idle()
        machine.assert_clean()
        if first <= WARM_UP:
            around, warm = machine.surroundings(), size(machine.pid)
    end = size(machine.pid)
    print(f"{CYCLES} pods: {warm} after {WARM_UP}, {end} at the end")
    assert machine.surroundings() == around
    assert end.files <= warm.files
    assert end.threads <= warm.threads + THREADS_MORE_MAX
    assert end.memory_bytes <= warm.memory_bytes + MEMORY_MORE_MAX_BYTES
