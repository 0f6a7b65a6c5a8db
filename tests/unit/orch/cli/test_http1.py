"""HTTP/1.1 as servers write it: lengths, chunks, streams, and connections that end too early."""

import io
import socket
import threading

import pytest

from orch.cli.http1 import Disconnected, HttpConnection, ProtocolError, Response, read_head


def exchange(*pieces: bytes, close: bool = True) -> tuple[Response, HttpConnection, bytes]:
    """The response to a request, when the server writes those pieces; and what the server was sent."""
    ours, peer = socket.socketpair()
    sent: list[bytes] = []

    def serve() -> None:
        with peer.makefile("rb") as file:
            while (line := file.readline()) not in (b"\r\n", b""):
                sent.append(line)
        for piece in pieces:
            peer.sendall(piece)
        if close:
            peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    connection = HttpConnection(ours)
    try:
        response = connection.request("GET", "/x", {"Host": "h"})
    except BaseException:
        connection.close()
        raise
    finally:
        thread.join()
        peer.close()
    return response, connection, b"".join(sent)


@pytest.mark.parametrize(
    ("pieces", "body", "keep_alive"),
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcREST"], b"abc", True, id="length"),
        pytest.param([b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"], b"", True, id="empty"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", b"c\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"],
            b"abcde", True, id="chunks and a trailer",
        ),
        pytest.param([b"HTTP/1.0 200 OK\r\n\r\nuntil ", b"the end"], b"until the end", False, id="until closed"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"], b"x", False, id="says close"
        ),
    ],
)  # fmt: skip
def test_bodies(pieces: list[bytes], body: bytes, keep_alive: bool) -> None:
    response, connection, sent = exchange(*pieces)
    assert response.body.read() == body
    assert response.keep_alive == keep_alive
    assert sent == b"GET /x HTTP/1.1\r\nHost: h\r\n"
    connection.close()


def test_lines_come_while_the_server_still_writes() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    response, connection, _ = exchange(head, b"6\r\none\ntw\r\n", b"2\r\no\n\r\n", b"0\r\n\r\n", close=False)
    assert [response.body.readline() for _ in range(3)] == [b"one\n", b"two\n", b""]
    connection.close()


def test_fields_are_found_in_any_case_and_number() -> None:
    response, connection, _ = exchange(b"HTTP/1.1 200 OK\r\nWarning: a\r\nWARNING:b\r\nContent-Length: 0\r\n\r\n")
    assert response.headers.all("warning") == ["a", "b"]
    connection.close()


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b""], Disconnected),
        ([b"SSH-2.0-OpenSSH\r\n"], ProtocolError),
        ([b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"], ProtocolError),
        ([b"HTTP/1.1 200 OK\r\nContent-Le"], ProtocolError),
    ],
)
def test_heads_that_are_none(pieces: list[bytes], error: type[Exception]) -> None:
    with pytest.raises(error):
        exchange(*pieces)


@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"], ids=["length", "chunk"]
)
def test_bodies_that_end_too_early(body: bytes) -> None:
    response, connection, _ = exchange(b"HTTP/1.1 200 OK\r\n" + body)
    with pytest.raises(Disconnected):
        response.body.read()
    connection.close()


def test_a_header_without_end_is_not_read_for_ever() -> None:
    flood = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000
    with pytest.raises(ProtocolError, match="broken"):
        read_head(io.BufferedReader(io.BytesIO(flood)))
