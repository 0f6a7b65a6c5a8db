"""The websocket channel protocols of remotecommand (channel.k8s.io, v4, v5 and their base64 forms): frames to websocket
messages and back. Pure.

A binary message is one byte of channel number and a payload. The base64 forms are text: the number as a digit, the
payload in base64. From v4 on the error channel carries a Status as JSON, before that a plain message; only v5 can say
that one direction ended (channel 255).
"""

import base64
import binascii
from dataclasses import dataclass

import msgspec

from controlplane.apiserver.streams import Channel, Frame
from orch.errors import BadRequest


@dataclass(frozen=True, slots=True)
class ChannelProtocol:
    name: str
    base64: bool = False
    status_errors: bool = True


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        ChannelProtocol("v5.channel.k8s.io"),
        ChannelProtocol("v4.channel.k8s.io"),
        ChannelProtocol("v4.base64.channel.k8s.io", base64=True),
        ChannelProtocol("channel.k8s.io", status_errors=False),
        ChannelProtocol("base64.channel.k8s.io", base64=True, status_errors=False),
    )
}
_NUMBERS = frozenset(Channel)
UNNAMED = ChannelProtocol("", status_errors=False)
"""Clients that offer no subprotocol speak channel.k8s.io."""


def choose(offered: str) -> ChannelProtocol:
    """From the Sec-WebSocket-Protocol header; the client's order is its preference."""
    names = [name.strip() for name in offered.split(",") if name.strip()]
    if not names:
        return UNNAMED
    for name in names:
        if name in PROTOCOLS:
            return PROTOCOLS[name]
    raise BadRequest(f"none of the websocket protocols is supported: {offered}; supported: {', '.join(PROTOCOLS)}")


def encode(protocol: ChannelProtocol, frame: Frame) -> bytes | str | None:
    """The message of a frame; None when the protocol has nothing to say of it."""
    data = frame.data
    if frame.channel is Channel.ERROR and not protocol.status_errors:
        data = plain_error(data)
        if not data:
            return None
    return join(frame.channel, data, as_text=protocol.base64)


def plain_error(status: bytes) -> bytes:
    """What protocols before v4 say of how a command ended: nothing of a success, else the message."""
    plain = msgspec.json.decode(status)
    return b"" if plain.get("status") == "Success" else str(plain.get("message", "")).encode()


def decode(protocol: ChannelProtocol, message: bytes | str) -> Frame | None:
    """The frame of a client's message; None for an empty one, or one on no known channel, which Kubernetes drops too.
    Raises ConnectionAbortedError for a message that is not of the protocol."""
    if not message:
        return None
    number, data = split(message, as_text=protocol.base64)
    return Frame(Channel(number), data) if number in _NUMBERS else None


def split(message: bytes | str, *, as_text: bool) -> tuple[int, bytes]:
    """(channel number, payload) of a message that is not empty. How it is written is the protocol's matter, not that of
    the message's type: the Python client sends text as text. Raises ConnectionAbortedError."""
    if not as_text:
        data = message.encode() if isinstance(message, str) else message
        return data[0], data[1:]
    try:
        text = message if isinstance(message, str) else message.decode()
        return int(text[0]), base64.b64decode(text[1:], validate=True)
    except (ValueError, binascii.Error) as error:
        raise ConnectionAbortedError(f"not a message of a base64 channel protocol: {error}") from error


def join(number: int, data: bytes, *, as_text: bool) -> bytes | str:
    """The message that `split` takes apart."""
    return f"{number}{base64.b64encode(data).decode()}" if as_text else bytes((number,)) + data
