"""Netlink messages: a socket, requests with their answers, attributes.

For whoever speaks one netlink protocol (routing, connection tracking); it knows none of them. A socket belongs for good
to the network namespace of the thread that opened it, whatever that thread does later. Blocking, bounded by
ANSWER_TIMEOUT_S; a socket is used by one thread at a time.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from nodeagent.network.errors import NetlinkError

ANSWER_TIMEOUT_S = 5.0
RECEIVE_BYTES = 1 << 18
RECEIVE_BUFFER_BYTES = 1 << 22
"""Dumps of tens of thousands of entries arrive faster than they are read."""

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NETLINK_CAP_ACK = 10
_EXT_ACK_MESSAGE = 1


@dataclass(frozen=True, slots=True)
class Message:
    type: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    padding = -len(value) % 4
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * padding


def nested(kind: int, *members: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(members))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by type, flags removed. Raises struct.error for a message that is cut short."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        found[kind & NLA_TYPE_MASK] = data[position + 4 : position + length]
        position += max(length + 3 & ~3, 4)
    return found


class Netlink:
    """A netlink socket of one protocol, in the network namespace of the calling thread."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, what: str, kind: int, flags: int, *parts: bytes) -> None:
        """A change, acknowledged by the kernel. Raises NetlinkError; `what` says what was tried."""
        for _ in self._exchange(what, kind, flags | NLM_F_ACK, parts):
            pass

    def get(self, what: str, kind: int, *parts: bytes) -> Message:
        """One thing. Raises NetlinkError, also when it does not exist."""
        message, *_ = self._exchange(what, kind, NLM_F_ACK, parts)
        return message

    def dump(self, what: str, kind: int, *parts: bytes) -> Sequence[Message]:
        """Everything of one kind. Raises NetlinkError."""
        return tuple(self._exchange(what, kind, NLM_F_DUMP, parts))

    def _exchange(self, what: str, kind: int, flags: int, parts: Sequence[bytes]) -> Iterator[Message]:
        self._sequence += 1
        body = b"".join(parts)
        header = _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, self._sequence, 0)
        try:
            self._socket.send(header + body)
        except OSError as error:
            raise _failed(what, error) from error
        while True:
            for message, sequence in self._receive(what):
                if sequence != self._sequence:
                    continue  # the rest of an answer that an error cut short
                if message.type == _NLMSG_ERROR:
                    _raise_for(what, message.body)
                    return
                if message.type == _NLMSG_DONE:
                    return
                yield message

    def _receive(self, what: str) -> Iterator[tuple[Message, int]]:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError as error:
            raise NetlinkError(what, 0, f"the kernel did not answer in {ANSWER_TIMEOUT_S} s") from error
        except OSError as error:
            raise _failed(what, error) from error
        position = 0
        while position + _HEADER.size <= len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, position)
            yield Message(kind, data[position + _HEADER.size : position + length]), sequence
            position += length + 3 & ~3


def _failed(what: str, error: OSError) -> NetlinkError:
    """The socket itself failed, for instance with ENOBUFS."""
    return NetlinkError(what, error.errno or 0, str(error))


def _raise_for(what: str, body: bytes) -> None:
    """Raises what an NLMSG_ERROR carries; its errno 0 is an acknowledgement."""
    errno = -struct.unpack_from("=i", body)[0]
    if errno == 0:
        return
    detail = attributes(body[4 + _HEADER.size :]).get(_EXT_ACK_MESSAGE, b"").rstrip(b"\0").decode(errors="replace")
    raise NetlinkError(what, errno, os.strerror(errno) + (f" ({detail})" if detail else ""))
