"""gRPC on top of HTTP/2, without I/O: messages with a length before them, statuses in trailers, deadlines in headers.

Source: "gRPC over HTTP2" (grpc/doc/PROTOCOL-HTTP2.md). Messages are never compressed: we do not say that we could.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum
from urllib.parse import unquote

from controlplane.store.rpc.frames import ErrorCode
from controlplane.store.rpc.http2 import encode_headers

MESSAGE_BYTES_MAX = 512 * 1024 * 1024
"""500 of the largest objects."""
_PREFIX = struct.Struct(">BL")

Metadata = tuple[tuple[str, str], ...]


class Code(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_CODE_OF_HTTP_STATUS = {
    "400": Code.INTERNAL,
    "401": Code.UNAUTHENTICATED,
    "403": Code.PERMISSION_DENIED,
    "404": Code.UNIMPLEMENTED,
    "429": Code.UNAVAILABLE,
    "502": Code.UNAVAILABLE,
    "503": Code.UNAVAILABLE,
    "504": Code.UNAVAILABLE,
}
_CODE_OF_RESET: Mapping[int, Code] = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}


class RpcError(Exception):
    """A call failed. Unless `code` came from the server itself, whether it acted on the call is unknown."""

    def __init__(self, code: Code, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


def request_block(scheme: str, authority: str, method: str, timeout_s: float | None, metadata: Metadata) -> bytes:
    """The encoded header block of a call; `method` is `/package.Service/Method`."""
    deadline = [("grpc-timeout", f"{int(timeout_s * 1000)}m")] if timeout_s else []
    return encode_headers(
        [
            (":method", "POST"),
            (":scheme", scheme),
            (":path", method),
            (":authority", authority),
            ("te", "trailers"),
            *deadline,
            ("content-type", "application/grpc"),
            *metadata,
        ]
    )


def framed(message: bytes) -> bytes:
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Puts messages together from pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are now complete. Raises RpcError."""
        source: bytes | bytearray = data
        if self._rest:
            self._rest += data
            source = self._rest
        messages, start = [], 0
        while len(source) - start >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(source, start)
            if compressed:
                raise RpcError(Code.INTERNAL, "a compressed message, though we accept none")
            if size > MESSAGE_BYTES_MAX:
                raise RpcError(Code.RESOURCE_EXHAUSTED, f"a message of {size} bytes, more than {MESSAGE_BYTES_MAX}")
            end = start + _PREFIX.size + size
            if end > len(source):
                break
            messages.append(bytes(source[start + _PREFIX.size : end]))
            start = end
        if source is data:
            self._rest += data[start:]
        else:
            del self._rest[:start]
        return messages


def error_of(headers: Mapping[str, str]) -> RpcError | None:
    """What the last headers of an answer say; None is success."""
    status = headers.get("grpc-status")
    if status is None:
        http_status = headers.get(":status", "")
        code = _CODE_OF_HTTP_STATUS.get(http_status, Code.UNKNOWN)
        return RpcError(code, f"an answer without grpc-status, HTTP status {http_status or 'unknown'}")
    if status == "0":
        return None
    code = Code(int(status)) if status.isdecimal() and int(status) in list(Code) else Code.UNKNOWN
    return RpcError(code, unquote(headers.get("grpc-message", "")))


def error_of_reset(code: int) -> RpcError:
    return RpcError(_CODE_OF_RESET.get(code, Code.INTERNAL), f"the stream was reset with HTTP/2 error code {code}")
