"""Pods are started and stopped over and over by one agent: the machine is then as it was before, and the agent holds no
more open files, threads and memory than after the first ones.

ORCH_TEST_CYCLES says how many pods come and go; 1000 takes minutes. With `-s` the figures are printed.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodeagent.network.conntrack import open_conntrack, udp_flows
from orch.api.kinds import SECRETS
from orch.api.pod.spec import Pod
from tests.agent_lab import NODE_IP, AgentLab, agent_lab
from tests.agent_pods import SECRET, a_pod

CYCLES = int(os.environ.get("ORCH_TEST_CYCLES", "20"))
AT_ONCE = 4
WARM_SHARE = 10
"""The agent is looked at after one in ten of the cycles (100 of 1000) and at the end; in between it may not grow."""
GROWTH_BYTES_MAX = 8 * 1024 * 1024
"""What 20 first pods make an agent allocate that stays as it is. In 900 cycles it is 9 KB for each: less than a pod's
objects amount to."""
POOL_THREADS_MAX = min(32, (os.cpu_count() or 1) + 4)
"""asyncio's default executor starts them as they are first needed."""
FIRST_HOST_PORT = 9000
SETTLE_S = 10.0
"""Less than the kernel keeps a flow without an answer (30 s)."""


@pytest.fixture
def machine() -> Iterator[AgentLab]:
    with agent_lab("cycles") as made:
        made.wanted.put(SECRETS, SECRET)
        yield made


@dataclass(frozen=True)
class Held:
    """By the agent's process."""

    files: int
    threads: int
    memory_bytes: int
    """Anonymous: what it allocated, without the files that it maps."""


def held(machine: AgentLab) -> Held:
    proc = Path(f"/proc/{machine.pid}")
    said = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return Held(len(os.listdir(proc / "fd")), int(said["Threads"]), int(said["RssAnon"].split()[0]) * 1024)


def traces(machine: AgentLab) -> set[str]:
    """What there is of the lab on the machine: files, cgroups, links, namespaces and mounts, flows, service rules."""
    return {
        *(f"file {path}" for root in (machine.run_dir, machine.state_dir) for path in files_below(root)),
        *(f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"*/{machine.runtime.cgroup_root}/**")),
        *(f"link {line}" for line in machine.netns.ip("-brief", "link").splitlines()),
        *(f"mount {line.split(' ', 4)[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        *(f"namespace {name}" for name in namespaces_of_children(machine)),
        *(f"process {command}" for command in machine.processes()),
        *(f"flow {found}" for found in flows(machine)),
        *(f"rule {rule.strip()}" for rule in machine.rules()),
    }


def files_below(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield Path(folder)
        yield from (Path(folder, name) for name in names)


def namespaces_of_children(machine: AgentLab) -> set[str]:
    """Of whatever the agent, or the keeper of what it leaves, is the parent."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in (machine.pid, machine.keeper_pid):
                found |= {os.readlink(kind) for kind in (entry / "ns").iterdir()}
        except OSError:
            continue
    return found


def flows(machine: AgentLab) -> list[str]:
    def tracked() -> list[str]:
        with open_conntrack() as netlink:
            return [str(flow.destination) for flow in udp_flows(netlink) if flow.destination.port >= FIRST_HOST_PORT]

    return machine.netns.call(tracked)


def send_to(machine: AgentLab, pod: Pod) -> None:
    """A datagram through its host port: the kernel then tracks a flow that leads to it."""
    port = (pod.spec.containers[0].ports or ())[0].host_port or 0

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", (NODE_IP, port))

    machine.netns.call(send)


def cycle(machine: AgentLab, *numbers: int) -> None:
    pods = [a_pod(number, FIRST_HOST_PORT + number % AT_ONCE, "UDP") for number in numbers]
    for pod in pods:
        machine.run(pod)
    machine.until(lambda: all(machine.runs(pod.metadata.uid) for pod in pods), "the pods to run")
    for pod in pods:
        send_to(machine, pod)
        machine.delete(pod)
    machine.until(lambda: all(machine.wanted.is_stopped(pod.metadata.uid) for pod in pods), "the pods to be stopped")
    machine.wanted.forget_reports()


def test_nothing_grows_and_nothing_stays(machine: AgentLab) -> None:
    cycle(machine, *range(AT_ONCE))
    machine.note_idle()
    machine.assert_clean()
    before, early, began = traces(machine), held(machine), time.monotonic()
    for first in range(AT_ONCE, CYCLES, AT_ONCE):
        cycle(machine, *range(first, first + AT_ONCE))
        if first <= CYCLES // WARM_SHARE:
            early = held(machine)
    took_s = time.monotonic() - began
    machine.assert_clean()
    with suppress(AssertionError):
        machine.until(lambda: traces(machine) <= before, "nothing to stay", SETTLE_S)
    assert sorted(traces(machine) - before) == []
    late = held(machine)
    print(f"\n{CYCLES} pods in {took_s:.0f} s; after one in ten {early}; at the end {late}")
    assert late.threads <= max(early.threads, 1 + POOL_THREADS_MAX)
    assert late.files <= early.files
    assert late.memory_bytes - early.memory_bytes < GROWTH_BYTES_MAX
