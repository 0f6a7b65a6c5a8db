"""`orch exec`: runs a command in a container, with terminal and stdin if asked, and ends with the command's exit code.

Speaks the Kubernetes remotecommand protocol over a websocket: the first byte of a message is its channel.
"""

import argparse
import json
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orch.cli import session, targets
from orch.cli.failures import CliError, Exit
from orch.cli.pods import container_of, pod_of
from orch.cli.session import Session, in_session
from orch.cli.websocket import Refused, WebSocket
from orch.errors import from_status

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""v5 adds the closing of stdin; with v4 the command never sees its end."""
INPUT_BYTES = 32 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.usage = "orch exec [-it] [-c CONTAINER] [-n NAMESPACE] POD|TYPE/NAME -- COMMAND [ARGUMENT ...]"
    parser.add_argument("-c", "--container", default="", help="which container (default: the first)")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass stdin on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    parser.add_argument("what", metavar="POD|TYPE/NAME")
    parser.add_argument("command", nargs="+", metavar="COMMAND")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    pod = pod_of(current, targets.parse_named([args.what], current.discovery, "pods")[0])
    container = container_of(pod, args.container)
    query = [("container", container), *(("command", word) for word in args.command)]
    query += [(name, "true") for name, wanted in (("stdin", args.stdin), ("tty", args.tty), ("stdout", True)) if wanted]
    query += [] if args.tty else [("stderr", "true")]
    path = current.discovery.named("pods")[0].path(pod["metadata"]["namespace"], pod["metadata"]["name"], "exec")
    channel = _connect(current, current.api.target(path, query))
    try:
        with _raw_terminal(args.tty and args.stdin), _resizes(channel, args.tty):
            return exit_code(_pump(channel, sys.stdin.fileno() if args.stdin else -1))
    finally:
        channel.close()


def _connect(current: Session, target: str) -> WebSocket:
    api = current.api
    try:
        return WebSocket(api.socket(), target, api.headers(), PROTOCOLS)
    except Refused as refusal:
        try:
            status = json.loads(refusal.body)
        except ValueError:
            raise CliError(f"the server answered {refusal.status} to the exec request") from refusal
        raise from_status(status) from refusal


def _pump(channel: WebSocket, stdin: int) -> dict[str, Any]:
    """Carries bytes both ways until the server says how the command ended: a Status."""
    while True:
        for message in channel.receive():
            if message[:1] == bytes([ERROR]):
                status: dict[str, Any] = json.loads(message[1:])
                return status
            _write(message)
        if channel.closed:
            raise CliError("the connection ended before the command did")
        descriptors = [channel.fileno(), *([stdin] if stdin >= 0 else [])]
        ready, _, _ = select.select(descriptors, [], [])
        if stdin in ready and not _forward(channel, stdin):
            stdin = -1


def _forward(channel: WebSocket, stdin: int) -> bool:
    """Whether there may be more input."""
    data = os.read(stdin, INPUT_BYTES)
    if data:
        channel.send(bytes([STDIN]) + data)
    elif channel.protocol == PROTOCOLS[0]:
        channel.send(bytes([CLOSE, STDIN]))
    return bool(data)


def _write(message: bytes) -> None:
    stream = {STDOUT: sys.stdout.buffer, STDERR: sys.stderr.buffer}.get(message[0]) if message else None
    if stream is not None and len(message) > 1:
        stream.write(message[1:])
        stream.flush()


def exit_code(status: dict[str, Any]) -> int:
    """Of the Status that ends an exec. Raises the ApiError for anything but an exit code."""
    if status.get("status") == "Success":
        return Exit.OK
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise from_status(status)


@contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Keys go to the command as they are (Ctrl-C too)."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    saved = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


@contextmanager
def _resizes(channel: WebSocket, wanted: bool) -> Iterator[None]:
    """Tells the command the size of our terminal, now and whenever it changes."""
    if not wanted or not sys.stdout.isatty():
        yield
        return

    def send_size(*_: object) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())
        channel.send(bytes([RESIZE]) + json.dumps({"Width": size.columns, "Height": size.lines}).encode())

    send_size()
    previous = signal.signal(signal.SIGWINCH, send_size)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, previous)
