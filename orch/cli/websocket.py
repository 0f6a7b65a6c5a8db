"""A websocket client over a connected socket (RFC 6455), as small as the streams of `orch` need it.

Speaks binary messages only. Only `send` waits for the server; reading, `queue` and `flush` never do, so that
one select loop can serve both directions. Must not know what the messages mean.
"""

import base64
import contextlib
import hashlib
import io
import os
import select
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orch.cli.failures import CliError
from orch.cli.http1 import read_head

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NORMAL_CLOSURE = 1000
READ_BYTES = 64 * 1024
READS_AT_ONCE_MAX = 16
HEADER_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """The server answered the upgrade with something else."""

    status: int
    body: bytes


class WebSocket:
    def __init__(self, sock: socket.socket, target: str, headers: Mapping[str, str], protocols: Sequence[str]) -> None:
        """Performs the opening handshake. Raises Refused, CliError, OSError."""
        self._socket = sock
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._unsent = bytearray()
        self.closed = False
        self.more = False
        """There may be more to read than select can tell."""
        try:
            self.protocol = self._handshake(target, headers, protocols)
        except BaseException:
            sock.close()
            raise
        sock.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, payload: bytes) -> None:
        self.queue(payload)
        self._drain()

    def queue(self, payload: bytes) -> None:
        """To be sent by `flush`."""
        self._queue_frame(_BINARY, payload)

    def flush(self) -> None:
        """Sends what the socket takes."""
        while self._unsent:
            try:
                del self._unsent[: self._socket.send(bytes(self._unsent[:READ_BYTES]))]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return

    @property
    def unsent(self) -> bool:
        return bool(self._unsent)

    def receive(self) -> Iterator[bytes]:
        """Messages that have arrived; waits for nothing. Sets `closed` at the end."""
        self._read_available()
        while (frame := self._next_frame()) is not None:
            opcode, final, payload = frame
            if opcode == _PING:
                self._queue_frame(_PONG, payload)
                self.flush()
            elif opcode == _CLOSE:
                self.closed = True
            elif opcode in (_CONTINUATION, _TEXT, _BINARY):
                self._fragments += payload
                if final:
                    message, self._fragments = bytes(self._fragments), bytearray()
                    yield message

    def close(self) -> None:
        """Says good-bye, unless the server was quicker or takes nothing."""
        with contextlib.suppress(OSError):
            self._queue_frame(_CLOSE, struct.pack(">H", NORMAL_CLOSURE))
            self.flush()
        self._socket.close()

    def _handshake(self, target: str, headers: Mapping[str, str], protocols: Sequence[str]) -> str:
        """The chosen protocol. What the server sent right behind its answer is kept for reading."""
        key = base64.b64encode(os.urandom(16))
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key.decode(),
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": ", ".join(protocols),
        }
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in (dict(headers) | fields).items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = self._read_head()
        status, answer = read_head(io.BufferedReader(io.BytesIO(head)))
        if status != 101:
            raise Refused(status, self._read_body(int(answer.first("Content-Length") or 0)))
        expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
        if answer.first("Sec-WebSocket-Accept") != expected:
            raise CliError("the server answered the websocket handshake wrongly: is something else listening there?")
        return answer.first("Sec-WebSocket-Protocol")

    def _read_head(self) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            more = self._socket.recv(READ_BYTES)
            if not more or len(self._buffer) > HEADER_BYTES_MAX:
                raise CliError("the server closed the connection during the websocket handshake")
            self._buffer += more
        end = self._buffer.index(b"\r\n\r\n") + 4
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return head

    def _read_body(self, length: int) -> bytes:
        while len(self._buffer) < length and (more := self._socket.recv(READ_BYTES)):
            self._buffer += more
        return bytes(self._buffer)

    def _read_available(self) -> None:
        self.more = False
        for _ in range(READS_AT_ONCE_MAX):
            try:
                data = self._socket.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                self.closed = True
                return
            self._buffer += data
        self.more = True

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        """(opcode, final, payload) of a whole frame at the head of the buffer; servers do not mask."""
        if len(self._buffer) < 2:
            return None
        length, start = self._buffer[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(self._buffer) < 2 + size:
                return None
            length, start = int.from_bytes(self._buffer[2 : 2 + size]), 2 + size
        if len(self._buffer) < start + length:
            return None
        first, payload = self._buffer[0], bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return first & 0x0F, bool(first & 0x80), payload

    def _queue_frame(self, opcode: int, payload: bytes) -> None:
        """Clients mask what they send (RFC 6455 5.3)."""
        length = len(payload)
        size = (
            bytes([0x80 | length])
            if length < 126
            else (b"\xfe" + struct.pack(">H", length) if length < 1 << 16 else b"\xff" + struct.pack(">Q", length))
        )
        mask = os.urandom(4)
        repeated = (mask * (length // 4 + 1))[:length]
        masked = (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(length)
        self._unsent += bytes([0x80 | opcode]) + size + mask + masked

    def _drain(self) -> None:
        self.flush()
        while self._unsent:
            select.select([], [self._socket], [])
            self.flush()
