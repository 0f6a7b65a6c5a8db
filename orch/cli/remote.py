"""A command in a container, from the client's side: the Kubernetes remotecommand protocol over a websocket, between
our terminal and the command's.

The first byte of a message is its channel. One select loop serves both directions and never waits for one of them
alone, since a command that nobody reads from may stop reading itself.
"""

import json
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from orch.cli.failures import CliError, Exit
from orch.cli.session import Session
from orch.cli.websocket import Refused, WebSocket
from orch.errors import from_status

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""v5 adds the closing of stdin; with v4 the command never sees its end."""
INPUT_BYTES = 32 * 1024


def run_remote(current: Session, target: str, *, stdin: bool, terminal: bool) -> int:
    """Connects our standard streams until the command ends; its exit code."""
    channel = connect(current, target, PROTOCOLS)
    try:
        with _raw_terminal(terminal and stdin), _resizes(channel, terminal):
            return exit_code(_pump(channel, sys.stdin.fileno() if stdin else -1))
    finally:
        channel.close()


def connect(current: Session, target: str, protocols: Sequence[str]) -> WebSocket:
    """Raises ApiError for what the server refuses, CliError, OSError."""
    api = current.api
    try:
        return WebSocket(api.socket(), target, api.headers(), protocols)
    except Refused as refusal:
        try:
            status = json.loads(refusal.body)
        except ValueError:
            raise CliError(f"the server answered {refusal.status} where a websocket was asked for") from refusal
        raise from_status(status) from refusal


def _pump(channel: WebSocket, stdin: int) -> dict[str, Any]:
    """Carries bytes both ways until the server says how the command ended: a Status."""
    while True:
        for message in channel.receive():
            if message[:1] == bytes([ERROR]):
                return status_of(message[1:])
            _write(message)
        if channel.closed:
            raise CliError("the connection ended before the command did")
        reads: list[Any] = [channel, *([stdin] if stdin >= 0 and not channel.unsent else [])]
        writes = [channel] if channel.unsent else []
        ready, _, _ = select.select(reads, writes, [], 0 if channel.more else None)
        if stdin in ready and not _forward(channel, stdin):
            stdin = -1
        _flush(channel)


def _forward(channel: WebSocket, stdin: int) -> bool:
    """Whether there may be more input."""
    data = os.read(stdin, INPUT_BYTES)
    if data:
        channel.queue(bytes([STDIN]) + data)
    elif channel.protocol == PROTOCOLS[0]:
        channel.queue(bytes([CLOSE, STDIN]))
    return bool(data)


def _flush(channel: WebSocket) -> None:
    """A server that takes no more may still have told the end."""
    with suppress(ConnectionError):
        channel.flush()


def _write(message: bytes) -> None:
    stream = {STDOUT: sys.stdout.buffer, STDERR: sys.stderr.buffer}.get(message[0]) if message else None
    if stream is not None and len(message) > 1:
        stream.write(message[1:])
        stream.flush()


def status_of(data: bytes) -> dict[str, Any]:
    """What the error channel carries."""
    status: dict[str, Any] = json.loads(data)
    return status


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
