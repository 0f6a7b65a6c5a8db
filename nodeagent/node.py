"""The agent as a process: its mount namespace, its lock, its signals, and how it ends.

Order matters: the mount namespace before any thread; one agent per state folder.
"""

import argparse
import asyncio
import fcntl
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import structlog
import uvloop

from nodeagent.allocatable import InvalidReserve
from nodeagent.grpc_link import JoinRefused
from nodeagent.images.garbage import InvalidPolicy
from nodeagent.node_parts import MachineGoesDown, NodeParts, SupervisorGone
from nodeagent.pressure import InvalidThresholds
from nodeagent.runtime.cgroups import Layout
from nodeagent.runtime.mount_namespace import SharedMountNamespace, prepare_mount_namespace
from nodeagent.supervisor import EX_CONFIG, keep_from_children
from orch.errors import OrchError

log = structlog.get_logger(__name__)

THREAD_SWITCH_INTERVAL_S = 0.0005
"""Threads do short system calls (netlink, mounts) and would wait Python's 5 ms after each of them for a busy loop."""
LOCK_FILE = "agent.lock"
LOCK_ATTEMPTS_MAX, LOCK_RETRY_DELAY_S = 100, 0.1


class AlreadyRunning(OrchError):
    """Another agent works on the same state folder."""


FAULTS_THAT_STAY = (
    InvalidThresholds,
    InvalidPolicy,
    InvalidReserve,
    AlreadyRunning,
    JoinRefused,
    SharedMountNamespace,
    PermissionError,
)
"""Starting the agent again would end in the same."""


def run_node(options: argparse.Namespace) -> int:
    """Runs the agent; the process's exit code. Raises OrchError, OSError for faults that may pass."""
    keep_from_children(options.inherited)
    sys.setswitchinterval(THREAD_SWITCH_INTERVAL_S)
    try:
        layout = prepare_mount_namespace()
        options.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        options.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as stack:
            _lock(options.state_dir / LOCK_FILE, stack)
            _run_loop(options, layout)
    except FAULTS_THAT_STAY as error:
        log.error("agent_cannot_start", error=str(error))
        return EX_CONFIG
    return 0


def _run_loop(options: argparse.Namespace, layout: Layout) -> None:
    try:
        uvloop.run(_run_until_told(NodeParts(options, layout)))
    except* MachineGoesDown:
        log.info("agent_stopped", next="the machine goes down")
    except* SupervisorGone:
        log.warning("supervisor_gone", next="the agent ends; containers go on")


def _lock(path: Path, stack: ExitStack) -> None:
    """Held for the life of the process; a predecessor gets some seconds to end. Raises AlreadyRunning."""
    file = stack.enter_context(path.open("w"))
    for _ in range(LOCK_ATTEMPTS_MAX):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(LOCK_RETRY_DELAY_S)
    raise AlreadyRunning(f"another agent works on {path.parent}; stop it first")


async def _run_until_told(node: "NodeParts") -> None:
    """Until SIGTERM or SIGINT; containers stay as they are. On SIGPWR pods end first, if they get the time."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    loop.add_signal_handler(signal.SIGPWR, node.power_fails.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPWR})  # the supervisor has held it back until now
    try:
        await node.run()
    except asyncio.CancelledError:
        log.info("agent_stopped", next="containers go on")
