"""`orch cp`: files and folders to and from a container, as a tar stream through exec; the container needs `tar`.

What a container sends is not trusted: nothing is written outside the destination, and symlinks are made only when all
else is there, so that nothing can be written through one.
"""

import argparse
import io
import os
import posixpath
import select
import sys
import tarfile
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from orch.cli import session
from orch.cli.failures import CliError, Exit
from orch.cli.pods import container_of
from orch.cli.remote import CLOSE, ERROR, PROTOCOLS, STDERR, STDIN, STDOUT, connect, exit_code, status_of
from orch.cli.session import Session, in_session
from orch.cli.websocket import WebSocket

READ_BYTES = 64 * 1024


class Place(NamedTuple):
    """A path here, or in a pod when `pod` is not empty."""

    path: str
    pod: str = ""
    namespace: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("-c", "--container", default="", help="which container (default: the first)")
    parser.add_argument("source", help="PATH, or [NAMESPACE/]POD:PATH")
    parser.add_argument("destination", help="PATH, or [NAMESPACE/]POD:PATH")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    source, destination = parse_place(args.source), parse_place(args.destination)
    if bool(source.pod) == bool(destination.pod):
        raise CliError("one of source and destination must be [NAMESPACE/]POD:PATH", Exit.USAGE)
    remote = Remote(current, source if source.pod else destination, args.container)
    if source.pod:
        download(remote, source.path, destination.path)
    else:
        upload(remote, source.path, destination.path)
    return Exit.OK


def parse_place(text: str) -> Place:
    """A text with a slash before its first colon may be a path here: ./a:b is one."""
    pod, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return Place(text)
    namespace, _, name = pod.rpartition("/")
    if not name or not path or "/" in namespace:
        raise CliError(f"{text!r} is no [NAMESPACE/]POD:PATH", Exit.USAGE)
    return Place(path, name, namespace)


class Remote:
    """A container that commands are run in."""

    def __init__(self, current: Session, place: Place, container: str) -> None:
        self._current = current
        namespace = place.namespace or current.namespace
        pods = current.discovery.named("pods")[0]
        self._path = pods.path(namespace, place.pod, "exec")
        self._container = container_of(current.api.get(pods.path(namespace, place.pod)), container)

    @contextmanager
    def running(self, *command: str) -> Iterator["Process"]:
        query = [("container", self._container), *(("command", word) for word in command)]
        query += [(name, "true") for name in ("stdin", "stdout", "stderr")]
        with closing(connect(self._current, self._current.api.target(self._path, query), PROTOCOLS)) as channel:
            yield Process(channel)

    def succeeds(self, *command: str) -> bool:
        with self.running(*command) as process:
            return process.wait() == 0


class Process(io.RawIOBase):
    """A command as a file: reads its stdout, writes its stdin. Its stderr is passed on."""

    def __init__(self, channel: WebSocket) -> None:
        self._channel = channel
        self._output: deque[bytes] = deque()
        self._status: dict[str, Any] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output and self._status is None:
            self._exchange()
        if not self._output:
            return 0
        data = self._output.popleft()
        taken = min(len(data), len(buffer))
        buffer[:taken] = data[:taken]
        if taken < len(data):
            self._output.appendleft(data[taken:])
        return taken

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Raises BrokenPipeError when the command has ended."""
        self._channel.queue(bytes([STDIN]) + bytes(data))
        while self._channel.unsent and self._status is None:
            self._exchange()
        if self._status is not None:
            raise BrokenPipeError("the command in the container ended early")
        return len(data)

    def wait(self) -> int:
        """Ends its input; its exit code. Output that nobody read is dropped."""
        if self._status is None and self._channel.protocol == PROTOCOLS[0]:
            self._channel.queue(bytes([CLOSE, STDIN]))
        while self._status is None:
            self._exchange()
            self._output.clear()
        return exit_code(self._status)

    def _exchange(self) -> None:
        writes = [self._channel] if self._channel.unsent else []
        select.select([self._channel], writes, [], 0 if self._channel.more else None)
        for message in self._channel.receive():
            self._take(message[0], message[1:])
        if self._status is None and self._channel.closed:
            raise CliError("the connection ended before the command did")
        if self._status is None:
            self._channel.flush()

    def _take(self, number: int, data: bytes) -> None:
        if number == STDOUT and data:
            self._output.append(data)
        elif number == STDERR:
            sys.stderr.write(data.decode(errors="replace"))
        elif number == ERROR:
            self._status = status_of(data)


def download(remote: Remote, source: str, destination: str) -> None:
    folder, name = posixpath.split(source.rstrip("/") or "/")
    if os.path.isdir(destination) and name:
        destination = os.path.join(destination, name)
    problem: tarfile.TarError | None = None
    with remote.running("tar", "cf", "-", "-C", folder or ".", f"./{name}" if name else ".") as process:
        try:
            with tarfile.open(fileobj=io.BufferedReader(process, READ_BYTES), mode="r|") as archive:
                extract(archive, name, destination)
        except tarfile.TarError as error:
            problem = error
        _check(process.wait())
    if problem is not None:
        raise CliError(f"what tar sent is no archive: {problem}") from problem


def extract(archive: tarfile.TarFile, name: str, destination: str) -> None:
    """The members below `name`, as `destination`; what must not be written is named and left out."""
    links: list[tarfile.TarInfo] = []
    for member in archive:
        inner = _below(member.name, name)
        if not inner and not member.isdir():
            folder, inner = os.path.split(os.path.abspath(destination))
        else:
            folder = destination
        if member.isdir() and not inner:
            os.makedirs(destination, exist_ok=True)
            continue
        renamed = member.replace(name=inner, deep=False)
        if member.islnk():
            renamed.linkname = _below(member.linkname, name)
        if member.issym():
            links.append(renamed)
        else:
            _extract_one(archive, renamed, folder)
    for link in links:
        _extract_one(archive, link, destination)


def _extract_one(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    try:
        archive.extract(member, folder, filter="data")
    except (tarfile.FilterError, KeyError) as error:
        print(f"orch: {member.name}: left out: {error}", file=sys.stderr)


def _below(path: str, name: str) -> str:
    """The path within the copied folder: `./name/a/b` is `a/b`."""
    plain = posixpath.normpath(path)
    return "" if plain in (name, ".") else plain.removeprefix(f"{name}/" if name else "")


def upload(remote: Remote, source: str, destination: str) -> None:
    if not os.path.lexists(source):
        raise CliError(f"{source}: no such file or folder", Exit.NOT_FOUND)
    folder, name = posixpath.split(destination.rstrip("/") or "/")
    if destination.endswith("/") or remote.succeeds("test", "-d", destination):
        folder, name = destination, os.path.basename(os.path.abspath(source))
    with remote.running("tar", "xmf", "-", "-C", folder or ".") as process:
        try:
            with tarfile.open(fileobj=process, mode="w|", bufsize=READ_BYTES) as archive:
                archive.add(source, arcname=name)
        except BrokenPipeError:
            _check(process.wait())
            raise
        _check(process.wait())


def _check(code: int) -> None:
    if code:
        raise CliError(f"tar in the container ended with exit code {code}")
