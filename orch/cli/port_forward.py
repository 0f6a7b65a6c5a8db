"""`orch port-forward`: ports of this machine lead to ports of a pod, through the API server.

Each connection is a websocket of its own (one thread each), so that none waits for another.
"""

import argparse
import contextlib
import select
import socket
import sys
import threading
from typing import Any, NamedTuple

from orch.cli import session, targets
from orch.cli.failures import CliError, Exit, one_line
from orch.cli.pods import pod_of
from orch.cli.remote import CLOSE, connect
from orch.cli.session import Session, in_session
from orch.cli.websocket import WebSocket
from orch.errors import OrchError

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""v5 tells the end of each direction; a server that has only v4 ends a connection by closing it."""
DATA, ERROR = 0, 1
HEAD_BYTES = 3
"""Of the first message of each channel: its number and the port."""
READ_BYTES = 64 * 1024
WAITING_MAX_BYTES = 1024 * 1024
PORT_MAX = 65535


class Port(NamedTuple):
    local: int
    remote: str
    """A number, or a name that the pod's containers or the service give."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("--address", default="127.0.0.1", help="listen here (default: 127.0.0.1)")
    parser.add_argument("what", metavar="POD|TYPE/NAME")
    parser.add_argument("ports", nargs="+", metavar="[LOCAL:]REMOTE", help="with :REMOTE any free local port")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    target = targets.parse_named([args.what], current.discovery, "pods")[0]
    pod = pod_of(current, target)
    service = current.api.get(target.path(current.namespace)) if target.resource.kind == "Service" else None
    ports = [(port.local, remote_port(port.remote, pod, service)) for port in map(parse_port, args.ports)]
    path = current.discovery.named("pods")[0].path(pod["metadata"]["namespace"], pod["metadata"]["name"], "portforward")
    with contextlib.ExitStack() as stack:
        listening = {stack.enter_context(_listen(args.address, local)): remote for local, remote in ports}
        for listener, remote in listening.items():
            address, port = listener.getsockname()[:2]
            print(f"Forwarding from {address}:{port} -> {remote}", flush=True)
        while True:
            ready, _, _ = select.select(list(listening), [], [])
            for listener in ready:
                accepted, _ = listener.accept()
                request = current.api.target(path, [("ports", str(listening[listener]))])
                threading.Thread(target=_serve, args=(current, request, accepted), daemon=True).start()


def parse_port(text: str) -> Port:
    """`8080:80`, `80` (the same locally), `:80` (any free one)."""
    local, separator, remote = text.rpartition(":")
    local = local if separator else (remote if remote.isdigit() else "")
    if not remote or (local and not (local.isdigit() and 0 < int(local) <= PORT_MAX)):
        raise CliError(f"{text!r} is no [LOCAL:]REMOTE", Exit.USAGE)
    return Port(int(local or 0), remote)


def remote_port(asked: str, pod: dict[str, Any], service: dict[str, Any] | None) -> int:
    """The pod's port behind a service's, or behind a name."""
    wanted: Any = asked
    if service is not None:
        wanted = _target_port(asked, service)
    if str(wanted).isdigit() and 0 < int(wanted) <= PORT_MAX:
        return int(wanted)
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == wanted:
                return int(port["containerPort"])
    raise CliError(f"pod/{pod['metadata']['name']}: has no port {wanted!r}", Exit.NOT_FOUND)


def _target_port(asked: str, service: dict[str, Any]) -> Any:
    for port in service["spec"].get("ports") or ():
        if asked in (str(port["port"]), port.get("name")):
            headless = service["spec"].get("clusterIP") == "None"
            return port["port"] if headless else port.get("targetPort") or port["port"]
    raise CliError(f"service/{service['metadata']['name']}: has no port {asked!r}", Exit.NOT_FOUND)


def _listen(address: str, port: int) -> socket.socket:
    try:
        return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        raise CliError(f"{address}:{port}: cannot listen: {error.strerror}") from error


def _serve(current: Session, request: str, local: socket.socket) -> None:
    with local:
        try:
            channel = connect(current, request, PROTOCOLS)
            with contextlib.closing(channel):
                problem = Connection(channel, local).run()
        except OrchError as error:
            problem = one_line(error)
        except OSError as error:
            problem = str(error)
        if problem:
            print(f"orch: {problem}", file=sys.stderr)


class Connection:
    """Bytes both ways between a local socket and the channels of a websocket."""

    def __init__(self, channel: WebSocket, local: socket.socket) -> None:
        self._channel, self._local = channel, local
        self._to_local = bytearray()
        self._begun: set[int] = set()
        self._problem = bytearray()
        self._reads_local, self._pod_ended = True, False
        local.setblocking(False)

    def run(self) -> str:
        """Returns when the pod has ended the connection and all is delivered: what went wrong, or ""."""
        while not (self._pod_ended and not self._to_local):
            self._wait()
            self._receive()
            self._send()
            self._deliver()
        return self._problem.decode(errors="replace")

    def _wait(self) -> None:
        reads: list[Any] = [self._channel] if len(self._to_local) < WAITING_MAX_BYTES and not self._pod_ended else []
        reads += [self._local] if self._reads_local and not self._channel.unsent else []
        writes: list[Any] = [self._channel] if self._channel.unsent else []
        writes += [self._local] if self._to_local else []
        select.select(reads, writes, [], 0 if self._channel.more and self._channel in reads else None)

    def _receive(self) -> None:
        if len(self._to_local) >= WAITING_MAX_BYTES or self._pod_ended:
            return
        for message in self._channel.receive():
            self._take(message[0], message[1:])
        self._pod_ended = self._pod_ended or self._channel.closed

    def _take(self, number: int, data: bytes) -> None:
        if number == CLOSE:
            self._pod_ended = True
        elif number not in self._begun:
            self._begun.add(number)  # the port's number, which we know
        elif number == DATA:
            self._to_local += data
        elif number == ERROR:
            self._problem += data

    def _send(self) -> None:
        if self._reads_local and not self._channel.unsent:
            with contextlib.suppress(BlockingIOError):
                data = self._local.recv(READ_BYTES)
                self._reads_local = bool(data)
                self._queue(data)
        with contextlib.suppress(ConnectionError):
            self._channel.flush()

    def _queue(self, data: bytes) -> None:
        if data:
            self._channel.queue(bytes([DATA]) + data)
        elif self._channel.protocol == PROTOCOLS[0]:
            self._channel.queue(bytes([CLOSE, DATA]))

    def _deliver(self) -> None:
        if self._to_local:
            with contextlib.suppress(BlockingIOError):
                del self._to_local[: self._local.send(self._to_local)]
