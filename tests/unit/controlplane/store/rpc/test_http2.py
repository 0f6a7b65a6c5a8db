import hpack
import pytest

from controlplane.store.rpc import frames
from controlplane.store.rpc.frames import ErrorCode, Frame, FrameCutter, Kind, ProtocolError, Setting
from controlplane.store.rpc.http2 import Data, Headers, Http2Client, Reset, encode_headers

BLOCK = encode_headers([(":method", "POST")])
ANSWER = encode_headers([(":status", "200"), ("content-type", "application/grpc")])
TRAILERS = encode_headers([("grpc-status", "0")])


def sent(client: Http2Client) -> list[Frame]:
    return list(FrameCutter().feed(client.to_send()))


def a_client(**limits: int) -> Http2Client:
    client = Http2Client()
    client.receive(frames.settings_frame({Setting[name.upper()]: value for name, value in limits.items()}))
    client.to_send()
    return client


def headers(stream_id: int, block: bytes, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(Kind.HEADERS, flags, stream_id, block)


def an_answer(stream_id: int, data: bytes) -> bytes:
    end = frames.END_HEADERS | frames.END_STREAM
    body = frames.frame(Kind.DATA, 0, stream_id, data)
    return headers(stream_id, ANSWER) + body + headers(stream_id, TRAILERS, end)


def body_of(sent_frames: list[Frame], stream_id: int) -> bytes:
    return b"".join(f.payload for f in sent_frames if f.kind == Kind.DATA and f.stream_id == stream_id)


def test_the_connection_begins_with_preface_and_settings() -> None:
    data = Http2Client().to_send()
    assert data.startswith(frames.PREFACE)
    kinds = [f.kind for f in FrameCutter().feed(data.removeprefix(frames.PREFACE))]
    assert kinds == [Kind.SETTINGS, Kind.WINDOW_UPDATE]


def test_answers_cut_at_every_byte_are_the_same() -> None:
    answer = an_answer(1, b"hello")
    for cut in range(len(answer) + 1):
        client = a_client()
        stream = client.request(BLOCK, b"x", finishing=True)
        events = client.receive(answer[:cut]) + client.receive(answer[cut:])
        assert [type(event) for event in events] == [Headers, Data, Headers]
        assert {event.stream for event in events} == {stream}
        last = events[-1]
        assert isinstance(last, Headers)
        assert (last.headers, last.ended) == ({"grpc-status": "0"}, True)


def test_byte_by_byte() -> None:
    client = a_client()
    client.request(BLOCK, b"x", finishing=True)
    events = [event for byte in an_answer(1, b"hello") for event in client.receive(bytes([byte]))]
    assert [event.data for event in events if isinstance(event, Data)] == [b"hello"]


def test_padding_priority_and_continuation() -> None:
    client = a_client()
    client.request(BLOCK, b"x", finishing=True)
    padded = frames.frame(
        Kind.HEADERS, frames.PADDED | frames.PRIORITY_FIELDS, 1, b"\2" + bytes(5) + ANSWER[:3] + b".."
    )
    rest = frames.frame(Kind.CONTINUATION, 0, 1, ANSWER[3:5])
    end = frames.frame(Kind.CONTINUATION, frames.END_HEADERS, 1, ANSWER[5:])
    data = frames.frame(Kind.DATA, frames.PADDED, 1, b"\3abc\0\0\0")
    first, second = client.receive(padded + rest + end + data)
    assert isinstance(first, Headers)
    assert first.headers == {":status": "200", "content-type": "application/grpc"}
    assert isinstance(second, Data)
    assert second.data == b"abc"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (headers(1, ANSWER, 0) + frames.frame(Kind.DATA, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(Kind.CONTINUATION, frames.END_HEADERS, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (headers(1, ANSWER, 0) + frames.frame(Kind.CONTINUATION, 0, 1, bytes(70_000)), ErrorCode.ENHANCE_YOUR_CALM),
        (frames.frame(Kind.DATA, frames.PADDED, 1, b"\x09abc"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(Kind.DATA, 0, 7, b"never opened"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(Kind.PUSH_PROMISE, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(Kind.SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame_head(frames.FRAME_BYTES_MAX + 1, Kind.DATA, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
        (headers(1, b"\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        (frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    ],
)
def test_what_breaks_the_protocol(data: bytes, code: ErrorCode) -> None:
    client = a_client()
    client.request(BLOCK, b"x", finishing=True)
    with pytest.raises(ProtocolError) as caught:
        client.receive(data)
    assert caught.value.code == code


def test_a_body_waits_for_both_windows() -> None:
    body = bytes(range(256)) * 1000
    client = a_client(initial_window_size=100_000)
    client.request(BLOCK, body, finishing=True)
    out = sent(client)
    assert len(body_of(out, 1)) == 65_535
    assert max(len(f.payload) for f in out) == 16_384
    client.receive(frames.window_update(0, 1_000_000))
    out += sent(client)
    assert len(body_of(out, 1)) == 100_000
    client.receive(frames.window_update(1, 1_000_000))
    out += sent(client)
    assert body_of(out, 1) == body
    assert [f.flags for f in out if f.kind == Kind.DATA].count(frames.END_STREAM) == 1
    assert out[-1].flags == frames.END_STREAM


def test_a_smaller_initial_window_counts_for_open_streams() -> None:
    client = a_client(initial_window_size=10)
    client.request(BLOCK, bytes(30), finishing=True)
    client.receive(frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 5}))
    client.receive(frames.window_update(1, 5))
    assert len(body_of(sent(client), 1)) == 10
    client.receive(frames.window_update(1, 3))
    assert len(body_of(sent(client), 1)) == 3


def test_requests_beyond_the_peers_number_of_streams_wait_in_order() -> None:
    client = a_client(max_concurrent_streams=1)
    first, second, third = (client.request(BLOCK, b"x", finishing=True) for _ in range(3))
    assert (first.id, second.id, third.id) == (1, 0, 0)
    client.cancel(second)
    client.receive(an_answer(1, b""))
    assert (second.id, third.id) == (0, 3)


def test_goaway_refuses_what_was_not_looked_at() -> None:
    client = a_client(max_concurrent_streams=2)
    first, second, third = (client.request(BLOCK, b"x", finishing=True) for _ in range(3))
    away = frames.frame(Kind.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4))
    assert client.receive(away) == [Reset(second, 7), Reset(third, 7)]
    assert client.draining
    assert [event.stream for event in client.receive(an_answer(1, b""))] == [first] * 3


def test_a_reset_ends_the_stream_and_what_follows_is_ignored() -> None:
    client = a_client()
    stream = client.request(BLOCK, b"x", finishing=True)
    assert client.receive(frames.rst_stream(1, ErrorCode.CANCEL)) == [Reset(stream, 8)]
    assert client.receive(an_answer(1, b"late")) == []


def test_an_early_answer_drops_the_rest_of_the_request() -> None:
    client = a_client()
    client.request(BLOCK, bytes(100_000), finishing=True)
    client.to_send()
    client.receive(an_answer(1, b""))
    client.receive(frames.window_update(0, 100_000))
    assert [f.kind for f in sent(client)] == [Kind.RST_STREAM]


def test_pings_are_answered_with_their_own_bytes() -> None:
    client = a_client()
    client.receive(frames.frame(Kind.PING, 0, 0, b"12345678") + frames.frame(Kind.PING, frames.ACK, 0, bytes(8)))
    assert sent(client) == [Frame(Kind.PING, frames.ACK, 0, b"12345678")]


def test_windows_are_given_back_in_large_steps() -> None:
    client = a_client()
    stream = client.request(BLOCK, b"x", finishing=True)
    client.to_send()
    client.acknowledge(stream, 1000)
    assert sent(client) == []
    client.acknowledge(stream, 3_000_000)
    assert [(f.kind, frames.word(f.payload)) for f in sent(client)] == [(Kind.WINDOW_UPDATE, 3_001_000)]


def test_header_blocks_leave_every_table_alone() -> None:
    decoder = hpack.Decoder()
    assert list(decoder.decode(encode_headers([("te", "trailers")]))) == [("te", "trailers")]
    assert not decoder.header_table.dynamic_entries
