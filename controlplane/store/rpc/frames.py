"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6). Pure layout: what a frame means is `http2.py`'s part.

Invariant: a frame is handed out once and whole, however the bytes before it arrived.
"""

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
FRAME_BYTES_MAX = 256 * 1024
"""What we accept, told to the peer: fewer and larger frames than the 16 KiB that everybody must accept."""

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FIELDS = 0x20

_HEAD = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_WORD = struct.Struct(">L")
_PRIORITY_BYTES = 5
_ID_MASK = 0x7FFFFFFF


class Kind(IntEnum):
    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5


class ErrorCode(IntEnum):
    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    FLOW_CONTROL_ERROR = 0x3
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC


class ProtocolError(Exception):
    """The peer broke HTTP/2's rules: the connection cannot go on."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes


class FrameCutter:
    """Cuts what arrives into frames; keeps the beginning of one that is not complete."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Raises ProtocolError. To be consumed before the next `feed`."""
        source: bytes | bytearray = data
        if self._rest:
            self._rest += data
            source = self._rest
        start, size = 0, len(source)
        while size - start >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(source, start)
            end = start + HEAD_BYTES + (high << 8 | low)
            if end - start - HEAD_BYTES > FRAME_BYTES_MAX:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {end - start} bytes")
            if end > size:
                break
            yield Frame(kind, flags, stream_id & _ID_MASK, bytes(source[start + HEAD_BYTES : end]))
            start = end
        self._rest = bytearray(source[start:])


def frame_head(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return frame_head(len(payload), kind, flags, stream_id) + payload


def settings_frame(settings: Mapping[Setting, int]) -> bytes:
    return frame(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(*setting) for setting in settings.items()))


def window_update(stream_id: int, size: int) -> bytes:
    """Stream 0 is the connection."""
    return frame(Kind.WINDOW_UPDATE, 0, stream_id, _WORD.pack(size))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    return frame(Kind.RST_STREAM, 0, stream_id, _WORD.pack(code))


def goaway(code: ErrorCode) -> bytes:
    """A client has seen no stream of the server."""
    return frame(Kind.GOAWAY, 0, 0, _WORD.pack(0) + _WORD.pack(code))


def content(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and priority."""
    payload = frame.payload
    start, end = 0, len(payload)
    if frame.flags & PADDED:
        start, end = 1, end - (payload[0] if payload else 0)
    if frame.kind == Kind.HEADERS and frame.flags & PRIORITY_FIELDS:
        start += _PRIORITY_BYTES
    if start > end:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[start:end] if frame.flags & (PADDED | PRIORITY_FIELDS) else payload


def word(payload: bytes, position: int = 0) -> int:
    """One 32-bit field of a payload."""
    if len(payload) < position + _WORD.size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame shorter than its fields")
    value: int = _WORD.unpack_from(payload, position)[0]
    return value


def settings_of(payload: bytes) -> Iterator[tuple[int, int]]:
    if len(payload) % _SETTING.size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "half a setting")
    return _SETTING.iter_unpack(payload)
