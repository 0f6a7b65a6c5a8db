"""HTTP/1.1 over one connected socket (RFC 9112), as little of it as a client of the API needs.

Instead of http.client, which loads the mail parser and with it doubles the time until `orch get` can send its request.
Bodies are files: read whole, or line by line while the server still writes.
"""

import io
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

HEAD_LINES_MAX = 200
LINE_BYTES_MAX = 64 * 1024


class Disconnected(ConnectionError):
    """The server closed the connection where an answer, or more of one, should have come."""


class ProtocolError(ConnectionError):
    """What came is not HTTP/1.1."""


class Headers:
    """Names are looked up without regard to case; a field may occur several times."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def all(self, name: str) -> list[str]:
        return [value for field, value in self._fields if field == name.lower()]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")


class Response(NamedTuple):
    status: int
    headers: Headers
    body: io.BufferedReader
    keep_alive: bool
    """Whether another request may follow once the body has been read."""


class HttpConnection:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._file = sock.makefile("rb")

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Raises OSError. The body of the response before must have been read."""
        fields = dict(headers) | ({"Content-Length": str(len(body))} if body is not None else {})
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        status, answered = read_head(self._file)
        framed = answered.first("Transfer-Encoding").lower() == "chunked" or bool(answered.first("Content-Length"))
        keep_alive = framed and answered.first("Connection").lower() != "close"
        return Response(status, answered, io.BufferedReader(_Body(self._file, answered)), keep_alive)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def read_head(file: io.BufferedReader) -> tuple[int, Headers]:
    """Status and fields of a response. Raises Disconnected, ProtocolError."""
    version, _, rest = _line(file).partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdigit():
        raise ProtocolError(f"the answer is not HTTP: {version[:40]!r}")
    fields: list[tuple[str, str]] = []
    while line := _line(file):
        name, separator, value = line.partition(":")
        if not separator or len(fields) >= HEAD_LINES_MAX:
            raise ProtocolError(f"the answer's header is broken: {line[:40]!r}")
        fields.append((name, value.strip()))
    return int(status), Headers(fields)


def _line(file: io.BufferedReader) -> str:
    line = file.readline(LINE_BYTES_MAX)
    if not line.endswith(b"\n"):
        raise Disconnected("the server closed the connection") if not line else ProtocolError("a line without an end")
    return line.rstrip(b"\r\n").decode("latin-1")


class _Body(io.RawIOBase):
    """The bytes of one message: of known length, in chunks, or until the server closes."""

    def __init__(self, file: io.BufferedReader, headers: Headers) -> None:
        self._file = file
        self._chunked = headers.first("Transfer-Encoding").lower() == "chunked"
        length = headers.first("Content-Length")
        self._left = 0 if self._chunked else int(length) if length.isdigit() else -1
        self._ended = self._left == 0 and not self._chunked

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._chunked and self._left == 0 and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        wanted = len(buffer) if self._left < 0 else min(len(buffer), self._left)
        data = self._file.read1(wanted)
        if not data and self._left > 0:
            raise Disconnected("the server closed the connection in the middle of an answer")
        buffer[: len(data)] = data
        self._took(len(data))
        return len(data)

    def _took(self, count: int) -> None:
        if self._left < 0:
            self._ended = count == 0
            return
        self._left -= count
        if self._left == 0 and self._chunked:
            _line(self._file)  # the line break that ends a chunk
        elif self._left == 0:
            self._ended = True

    def _next_chunk(self) -> None:
        try:
            self._left = int(_line(self._file).partition(";")[0], 16)
        except ValueError as error:
            raise ProtocolError("a chunk without a length") from error
        if self._left == 0:
            while _line(self._file):  # trailers, up to an empty line
                pass
            self._ended = True
