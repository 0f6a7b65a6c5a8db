"""The websocket client against a peer that speaks RFC 6455 byte by byte."""

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from orch.cli.failures import CliError
from orch.cli.websocket import Refused, WebSocket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def read_head(peer: socket.socket) -> dict[str, str]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    lines = head.decode().split("\r\n")[1:-2]
    return dict(line.split(": ", 1) for line in lines)


def open_with(answer: str, *, body: bytes = b"") -> tuple[WebSocket, socket.socket]:
    """`answer` may use {accept}."""
    ours, peer = socket.socketpair()

    def shake() -> None:
        head = read_head(peer)
        peer.sendall(answer.format(accept=accept(head["Sec-WebSocket-Key"])).encode() + body)

    thread = threading.Thread(target=shake)
    thread.start()
    try:
        return WebSocket(ours, "/exec?x=1", {"Host": "h:1"}, ("v5", "v4")), peer
    except BaseException:
        peer.close()
        raise
    finally:
        thread.join()


UPGRADED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v5\r\n\r\n"
)


@pytest.fixture
def pair() -> Iterator[tuple[WebSocket, socket.socket]]:
    client, peer = open_with(UPGRADED)
    yield client, peer
    client.close()
    peer.close()


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    length = len(payload)
    if length < 126:
        size = bytes([length])
    else:
        size = b"\x7e" + struct.pack(">H", length) if length < 65536 else b"\x7f" + struct.pack(">Q", length)
    return bytes([(0x80 if final else 0) | opcode]) + size + payload


def read_frame(peer: socket.socket) -> tuple[int, bytes]:
    """A masked frame of a client."""
    first, second = peer.recv(2, socket.MSG_WAITALL)
    assert second & 0x80, "clients must mask"
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(peer.recv(2 if length == 126 else 8, socket.MSG_WAITALL))
    mask = peer.recv(4, socket.MSG_WAITALL)
    masked = peer.recv(length, socket.MSG_WAITALL) if length else b""
    return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))


def test_the_protocol_is_the_servers_choice(pair: tuple[WebSocket, socket.socket]) -> None:
    assert pair[0].protocol == "v5"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_messages_of_every_length_class(pair: tuple[WebSocket, socket.socket], size: int) -> None:
    client, peer = pair
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    sender = threading.Thread(target=client.send, args=(payload,))
    sender.start()
    assert read_frame(peer) == (2, payload)
    sender.join()
    writer = threading.Thread(target=peer.sendall, args=(frame(2, payload),))
    writer.start()
    received: list[bytes] = []
    while not received:
        received += client.receive()
    writer.join()
    assert received == [payload]


def test_parts_pings_and_the_end(pair: tuple[WebSocket, socket.socket]) -> None:
    client, peer = pair
    peer.sendall(frame(2, b"one ", final=False) + frame(9, b"ping") + frame(0, b"message") + frame(8, b""))
    assert list(client.receive()) == [b"one message"]
    assert read_frame(peer) == (10, b"ping")
    assert client.closed


def test_a_frame_that_comes_in_pieces(pair: tuple[WebSocket, socket.socket]) -> None:
    client, peer = pair
    whole = frame(2, b"x" * 300)
    for piece in (whole[:1], whole[1:3], whole[3:50]):
        peer.sendall(piece)
        assert list(client.receive()) == []
    peer.sendall(whole[50:])
    assert list(client.receive()) == [b"x" * 300]


def test_a_refusal_carries_the_servers_answer() -> None:
    with pytest.raises(Refused) as raised:
        open_with("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n", body=b"body")
    assert (raised.value.status, raised.value.body) == (403, b"body")


def test_a_peer_that_is_no_websocket_server() -> None:
    with pytest.raises(CliError, match="handshake wrongly"):
        open_with("HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: wrong\r\n\r\n")
