import asyncio

import pytest

from controlplane.store.rpc import frames
from controlplane.store.rpc.connection import INBOX_BYTES_MAX, Connection
from controlplane.store.rpc.frames import FrameCutter, Kind
from controlplane.store.rpc.http2 import STREAM_WINDOW_BYTES, encode_headers
from controlplane.store.rpc.messages import Code, RpcError, framed, request_block

BLOCK = request_block("https", "etcd:2379", "/a.B/C", 5.0, ())
TRAILERS = encode_headers([("grpc-status", "0")])
END = frames.END_HEADERS | frames.END_STREAM


class Wire(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def connection(wire: Wire) -> Connection:
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(wire)
    connection.data_received(frames.settings_frame({}))
    wire.writes.clear()
    return connection


def data(stream_id: int, payload: bytes) -> bytes:
    return frames.frame(Kind.DATA, 0, stream_id, payload)


async def test_calls_of_one_turn_leave_in_one_write(connection: Connection, wire: Wire) -> None:
    calls = [connection.start(BLOCK, framed(b"x"), 5.0, unary=True) for _ in range(10)]
    await asyncio.sleep(0)
    assert len(wire.writes) == 1
    for number, call in enumerate(calls):
        answer = data(2 * number + 1, framed(b"%d" % number))
        connection.data_received(answer + frames.frame(Kind.HEADERS, END, 2 * number + 1, TRAILERS))
        assert await call.answer() == b"%d" % number
    connection.close("done")


async def test_trailers_alone_are_an_error(connection: Connection) -> None:
    call = connection.start(BLOCK, framed(b"x"), 5.0, unary=True)
    block = encode_headers([(":status", "200"), ("grpc-status", "11"), ("grpc-message", "future%20revision")])
    connection.data_received(frames.frame(Kind.HEADERS, END, 1, block))
    with pytest.raises(RpcError) as caught:
        await call.answer()
    assert (caught.value.code, caught.value.details) == (Code.OUT_OF_RANGE, "future revision")
    connection.close("done")


async def test_a_deadline_resets_the_stream(connection: Connection, wire: Wire) -> None:
    call = connection.start(BLOCK, framed(b"x"), 0.01, unary=True)
    with pytest.raises(RpcError) as caught:
        await call.answer()
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    await asyncio.sleep(0)
    assert [f.kind for f in FrameCutter().feed(wire.writes[-1])] == [Kind.RST_STREAM]
    connection.close("done")


async def test_a_lost_connection_ends_every_call(connection: Connection) -> None:
    calls = [connection.start(BLOCK, framed(b"x"), 5.0, unary=unary) for unary in (True, False)]
    connection.connection_lost(ConnectionResetError("reset"))
    for wait in (calls[0].answer(), calls[1].receive()):
        with pytest.raises(RpcError, match="UNAVAILABLE: the connection was lost: reset"):
            await wait
    assert not connection.usable


async def test_a_connection_that_goes_away_answers_what_it_took(connection: Connection, wire: Wire) -> None:
    call = connection.start(BLOCK, framed(b"x"), 5.0, unary=True)
    connection.data_received(frames.frame(Kind.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
    assert not connection.usable
    assert not wire.aborted
    connection.data_received(data(1, framed(b"y")) + frames.frame(Kind.HEADERS, END, 1, TRAILERS))
    assert await call.answer() == b"y"
    assert wire.aborted


async def test_who_does_not_read_is_not_sent_more_than_a_window(connection: Connection, wire: Wire) -> None:
    call = connection.start(BLOCK, b"", None, unary=False)
    message = framed(bytes(100_000))
    count = STREAM_WINDOW_BYTES // len(message)
    for _ in range(count):
        connection.data_received(data(1, message))
    assert len(message) * count - INBOX_BYTES_MAX > STREAM_WINDOW_BYTES // 2
    assert Kind.WINDOW_UPDATE not in [f.kind for write in wire.writes for f in FrameCutter().feed(write)]
    for _ in range(count):
        await call.receive()
    await asyncio.sleep(0)
    assert Kind.WINDOW_UPDATE in [f.kind for write in wire.writes for f in FrameCutter().feed(write)]
    connection.close("done")


async def test_broken_rules_end_the_connection(connection: Connection, wire: Wire) -> None:
    call = connection.start(BLOCK, framed(b"x"), 5.0, unary=True)
    connection.data_received(frames.frame(Kind.PUSH_PROMISE, 0, 1, bytes(4)))
    with pytest.raises(RpcError, match="broke HTTP/2's rules"):
        await call.answer()
    assert wire.aborted
