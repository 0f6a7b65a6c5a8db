"""What a machine has at one moment, to find out what a test left behind."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

NAMESPACE_KINDS = ("net", "mnt", "pid", "uts", "ipc", "cgroup", "user")
KTHREADD = 2
SETTLE_S = 10.0
OWN_FOLDERS = (Path("/var/lib/orch"), Path("/run/orch"))
LEVELS = ("*", "*/*")


@dataclass(frozen=True)
class Machine:
    """`processes`: daemons, as pid and command; what the test itself and the kernel run is left out."""

    processes: frozenset[str]
    mounts: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    cgroups: frozenset[str]
    nft_tables: frozenset[str]
    addresses: frozenset[str]
    ip_forward: str
    files: frozenset[str]
    """Of clusters, of images, and of running parts: the two upper levels."""

    def added_since(self, before: "Machine") -> dict[str, list[str]]:
        """Per field what is there now and was not before, and what has gone."""
        changes = {}
        for field in fields(self):
            now, then = getattr(self, field.name), getattr(before, field.name)
            if now != then:
                changes[field.name] = sorted(str(item) for item in set(now) ^ set(then))
        return changes


def look() -> Machine:
    ours = _family(os.getpid())
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) not in ours]
    return Machine(
        processes=frozenset(name for pid in pids if (name := _daemon(pid))),
        mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        namespaces=frozenset(name for pid in pids for name in _namespaces(pid)),
        links=frozenset(link["ifname"] for link in json.loads(_output("ip", "-json", "link"))),
        cgroups=frozenset(folder for folder, _, _ in os.walk("/sys/fs/cgroup") if "/orch" in folder),
        nft_tables=frozenset(_output("nft", "list", "tables").splitlines()),
        addresses=frozenset(_output("ip", "-brief", "address").splitlines()),
        ip_forward=Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        files=frozenset(str(path) for root in OWN_FOLDERS for level in LEVELS for path in root.glob(level)),
    )


def assert_unchanged(before: Machine) -> None:
    """Waits a little for what is still on its way out (kernel threads take links down after a namespace's end)."""
    deadline = time.monotonic() + SETTLE_S
    while (changes := look().added_since(before)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not changes, changes


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _stat(pid: int) -> tuple[str, int] | None:
    """(state, parent)"""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return values[0], int(values[1])


def _family(pid: int) -> set[int]:
    """The process with all its ancestors and their descendants' chains that lead through it."""
    ancestors, parents = set(), {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            parents[int(entry)] = stat[1]
    one = pid
    while one > 1:
        ancestors.add(one)
        one = parents.get(one, 0)
    return {child for child in parents if _leads_through(child, pid, parents)} | ancestors


def _leads_through(child: int, pid: int, parents: dict[int, int]) -> bool:
    while child > 1:
        if child == pid:
            return True
        child = parents.get(child, 0)
    return False


def _daemon(pid: int) -> str:
    """Empty for kernel threads, for the dead that nobody has collected yet, and for children of other programs."""
    stat = _stat(pid)
    if stat is None or stat[0] == "Z" or stat[1] != 1 or pid == KTHREADD:
        return ""
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode(errors='replace')}"
    except OSError:
        return ""


def _namespaces(pid: int) -> list[str]:
    """The dead that nobody has collected yet hold none that matters."""
    stat = _stat(pid)
    if stat is None or stat[0] == "Z":
        return []
    found = []
    for kind in NAMESPACE_KINDS:
        try:
            found.append(os.readlink(f"/proc/{pid}/ns/{kind}"))
        except OSError:
            continue
    return found
