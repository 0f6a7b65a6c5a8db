"""SPDY/3.1 framing, as much of it as the Kubernetes clients written in Go speak. Bytes in, events out; no I/O.

Frames (SPDY draft 3.1, section 2): a control frame is 1|version:15|type:16|flags:8|length:24, a data frame is
0|stream:31|flags:8|length:24. Header blocks are one zlib stream per direction with a fixed dictionary. Flow control is
left out: Go's library for it (spdystream) neither keeps windows nor expects them.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from orch.errors import OrchError

VERSION = 3
FLAG_FIN = 0x01
FRAME_MAX_BYTES = 1024 * 1024
HEADERS_MAX_BYTES = 64 * 1024
REFUSED_STREAM = 3
"""A status of RST_STREAM (section 2.6.3)."""

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_LISTED = [word.replace("_", " ").encode() for word in _WORDS.split(" ")]
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word for word in _LISTED) + _TAIL.encode()
"""Section 2.6.10.1; its Adler-32 is 0xe3c6a7c2."""


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class SpdyError(OrchError):
    """The peer does not speak SPDY/3.1."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The client opened a stream; it is answered already."""

    stream: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The client will send nothing more on the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The client has given the stream up, in both directions."""

    stream: int


Event = Opened | Data | Ended | Reset


class Connection:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def receive(self, data: bytes) -> tuple[list[Event], bytes]:
        """Events in order, and what must be sent in answer. Raises SpdyError."""
        events: list[Event] = []
        answer = b""
        for head, flags, payload in self._frames(data):
            if not head >> 31:
                events += [Data(head, payload)] if payload else []
                events += [Ended(head)] if flags & FLAG_FIN else []
                continue
            happened, reply = self._control(head, flags, payload)
            events += happened
            answer += reply
        return events, answer

    def _frames(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """(first word, flags, payload) of each whole frame; the rest is kept."""
        self._rest += data
        start = 0
        while len(self._rest) - start >= 8:
            head, tail = struct.unpack_from(">II", self._rest, start)
            flags, size = tail >> 24, tail & 0xFFFFFF
            if size > FRAME_MAX_BYTES:
                raise SpdyError(f"a frame of {size} bytes; at most {FRAME_MAX_BYTES} are taken")
            if len(self._rest) - start < 8 + size:
                break
            yield head, flags, self._rest[start + 8 : start + 8 + size]
            start += 8 + size
        self._rest = self._rest[start:]

    def _control(self, head: int, flags: int, payload: bytes) -> tuple[list[Event], bytes]:
        version, kind = head >> 16 & 0x7FFF, head & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"SPDY version {version}; 3 is spoken")
        if kind == FrameType.SYN_STREAM and len(payload) >= 10:
            stream = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
            opened = Opened(stream, self._headers(payload[10:]))
            ended = [Ended(stream)] if flags & FLAG_FIN else []
            return [opened, *ended], self._reply(stream)
        if kind == FrameType.RST_STREAM and len(payload) >= 4:
            return [Reset(struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF)], b""
        if kind == FrameType.PING:
            return [], _control_frame(FrameType.PING, payload)
        return [], b""

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, HEADERS_MAX_BYTES)
        except zlib.error as error:
            raise SpdyError(f"a header block that is not compressed as it must be: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {HEADERS_MAX_BYTES} bytes")
        try:
            return dict(_name_values(plain))
        except (struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a header block that cannot be read: {error}") from error

    def _reply(self, stream: int) -> bytes:
        """SYN_REPLY without headers."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(FrameType.SYN_REPLY, struct.pack(">I", stream) + block)


def _name_values(plain: bytes) -> Iterator[tuple[str, str]]:
    (count,), position = struct.unpack_from(">I", plain), 4
    for _ in range(count):
        texts = []
        for _ in ("name", "value"):
            (size,) = struct.unpack_from(">I", plain, position)
            texts.append(plain[position + 4 : position + 4 + size].decode())
            position += 4 + size
        yield texts[0], texts[1]


def _control_frame(kind: FrameType, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, len(payload)) + payload


def data_frame(stream: int, data: bytes, *, fin: bool = False) -> bytes:
    """`data` of at most FRAME_MAX_BYTES."""
    return struct.pack(">II", stream, (FLAG_FIN if fin else 0) << 24 | len(data)) + data


def reset_frame(stream: int) -> bytes:
    """Refuses a stream that the client opened."""
    return _control_frame(FrameType.RST_STREAM, struct.pack(">II", stream, REFUSED_STREAM))
