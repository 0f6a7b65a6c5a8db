"""What the processes of one local node cost: its agent, and the monitors of its containers. Read from /proc as root."""

import os
from collections.abc import Iterator
from pathlib import Path

AGENT_MODULE = "nodeagent.main"
MONITOR = "conmon"
SESSION_PORT_OFFSET = 1
"""Of the port that a local cluster's agents dial, from that of its API."""


def agent_of(node: str, api_port: int) -> int:
    """Pid of the node's agent; clusters are told apart by their ports. Raises LookupError."""
    session = f":{api_port + SESSION_PORT_OFFSET}"
    for pid, argv in _commands():
        if AGENT_MODULE in argv and node in argv and any(argument.endswith(session) for argument in argv):
            return pid
    raise LookupError(f"no agent of node {node} runs on this machine")


def monitors_beside(agent: int) -> list[int]:
    """Pids of the monitors that share the agent's PID namespace."""
    own = os.readlink(f"/proc/{agent}/ns/pid")
    running = [pid for pid, argv in _commands() if os.path.basename(argv[0]) == MONITOR]
    return [pid for pid in running if os.readlink(f"/proc/{pid}/ns/pid") == own]


def cpu_s(pid: int) -> float:
    """Processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return _memory(pid, "Rss")


def proportional_bytes(pid: int) -> int:
    """Shared pages counted in shares."""
    return _memory(pid, "Pss")


def _memory(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} has no {field}")


def _commands() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if argv[0]:
            yield int(path.parent.name), argv
