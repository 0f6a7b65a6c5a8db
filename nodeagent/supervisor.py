"""The small parent of the agent: starts it again when it dies; holds the DNS sockets, so that queries wait meanwhile;
reaps what the agent's children leave, for a zombie holds up the end of its container, and the machine's process 1 may
take its time.

It knows nothing of pods: killing the agent, or both, changes nothing in the containers. The agent ends with its
supervisor, which it notices by the end of a pipe; so a node never has two agents.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from nodeagent.runtime.syscalls import become_subreaper
from orch.errors import OrchError
from orch.kit.backoff import Backoff

log = structlog.get_logger(__name__)

EX_CONFIG = 78
"""The agent's exit code when starting it again cannot help (sysexits.h)."""
RESTART_DELAY_MIN_S = 0.2
RESTART_DELAY_MAX_S = 10.0
HEALTHY_AFTER_S = 60.0
"""An agent that lived so long starts without delay after its death."""
IP_FREEBIND = 15
"""From linux/in.h: bind an address that the node does not have yet."""
DNS_PORT = 53
TCP_BACKLOG = 128
BIND_ATTEMPTS_MAX, BIND_RETRY_DELAY_S = 100, 0.1


class AddressTaken(OrchError):
    """The address of the cluster's DNS server is in use on this node."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """File descriptors that the agent gets from its supervisor."""

    dns_udp: int
    dns_tcp: int
    alive: int
    """Reads end-of-file when the supervisor is gone."""

    def argument(self) -> str:
        return f"{self.dns_udp},{self.dns_tcp},{self.alive}"

    @staticmethod
    def parse(argument: str) -> "Inherited":
        return Inherited(*(int(number) for number in argument.split(",")))


def keep_from_children(inherited: Inherited) -> None:
    """What the agent starts (a container's monitor lives longer than it) must not hold the port or the pipe."""
    for descriptor in (inherited.dns_udp, inherited.dns_tcp, inherited.alive):
        os.set_inheritable(descriptor, False)


def bind_dns(address: str, port: int = DNS_PORT) -> tuple[socket.socket, socket.socket]:
    """(UDP, listening TCP) on the cluster's DNS address, before the node has it. The agent of a supervisor that was
    killed gets some seconds to end. Raises AddressTaken."""
    for _ in range(BIND_ATTEMPTS_MAX):
        try:
            return _bind_dns(address, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(BIND_RETRY_DELAY_S)
    raise AddressTaken(f"port {port} of {address} is taken: another agent or DNS server runs on this node")


def _bind_dns(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for made in (udp, tcp):
            made.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            made.bind((address, port))
        tcp.listen(TCP_BACKLOG)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp


class Supervisor:
    """`command` makes the agent's command line; what it inherits is the argument."""

    def __init__(
        self, command: Callable[[Inherited], Sequence[str]], dns_address: str, dns_port: int = DNS_PORT
    ) -> None:
        self._command, self._dns_address, self._dns_port = command, dns_address, dns_port
        self._backoff = Backoff[str](RESTART_DELAY_MIN_S, RESTART_DELAY_MAX_S)
        self._child: subprocess.Popen[bytes] | None = None
        self._told: signal.Signals | None = None
        self._told_to_stop, self._tell_to_stop = os.pipe()
        """Wakes the wait before a restart: a sleep goes on after a signal."""

    def run(self) -> int:
        """Until told to stop by SIGTERM, SIGINT or SIGPWR (on which the agent ends its pods first), or the agent says
        that it cannot be started; the exit code."""
        udp, tcp = bind_dns(self._dns_address, self._dns_port)
        read_end, self._write_end = os.pipe()
        inherited = Inherited(udp.fileno(), tcp.fileno(), read_end)
        become_subreaper()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPWR):
            signal.signal(number, self._stop)
        while self._told is None:
            started = time.monotonic()
            code = self._run_once(inherited)
            if self._told is not None or code == EX_CONFIG:
                return code if self._told is None else 0
            self._wait(code, time.monotonic() - started)
        return 0

    def _run_once(self, inherited: Inherited) -> int:
        descriptors = (inherited.dns_udp, inherited.dns_tcp, inherited.alive)
        # The agent inherits the mask: a power failure waits until it can do something about it, instead of killing it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPWR})
        self._child = subprocess.Popen(self._command(inherited), pass_fds=descriptors)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPWR})
        if self._told is not None:  # the signal came before there was a child to pass it on to
            os.kill(self._child.pid, self._told)
        return _reap_until(self._child)

    def _wait(self, code: int, lived_s: float) -> None:
        if lived_s >= HEALTHY_AFTER_S:
            self._backoff.forget("agent")
        delay_s = self._backoff.next_s("agent")
        log.warning("agent_died", exit_code=code, lived_s=round(lived_s, 1), restart_in_s=delay_s)
        select.select([self._told_to_stop], [], [], delay_s)

    def _stop(self, number: int, frame: object) -> None:
        self._told = signal.SIGPWR if number == signal.SIGPWR else signal.SIGTERM
        os.write(self._tell_to_stop, b"x")
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # `send_signal` would reap, and `_reap_until` wait in vain
                os.kill(self._child.pid, self._told)


def _reap_until(child: "subprocess.Popen[bytes]") -> int:
    """Reaps whoever ends, until it is the child; its exit code."""
    while child.returncode is None:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode


def own_command(arguments: Sequence[str], inherited: Inherited) -> list[str]:
    """This very program again, as the agent."""
    return [sys.executable, "-m", "nodeagent.main", *arguments, "--inherited", inherited.argument()]
