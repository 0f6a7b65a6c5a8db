"""SPDY/3.1 from the client's side: frames made by hand, cut anywhere, and a whole exec over the wire."""

import asyncio
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver import spdy
from controlplane.apiserver.spdy import DICTIONARY, Connection, Data, Ended, Opened, Reset, SpdyError, data_frame
from controlplane.apiserver.streams import Channel, Frame
from orch.api.kinds import PODS
from orch.client.http import tls_context
from tests import builders
from tests.apiserver import RunningServer
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams

PATH = "/api/v1/namespaces/default/pods/web/exec?command=cat&stdin=true&stdout=true&stderr=true"
FIN = 0x01


class Client:
    """Makes the frames of a client; header blocks share one zlib stream."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def open(self, stream: int, *, fin: bool = False, **headers: str) -> bytes:
        plain = struct.pack(">I", len(headers))
        for text in (text for pair in headers.items() for text in pair):
            plain += struct.pack(">I", len(text)) + text.encode()
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">IIBB", stream, 0, 0, 0) + block
        return control(spdy.FrameType.SYN_STREAM, payload, FIN if fin else 0)


def control(kind: int, payload: bytes, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(payload)) + payload


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.data())
def test_frames_may_be_cut_anywhere(data: Any) -> None:
    client = Client()
    sent = client.open(1, streamtype="error", fin=True) + client.open(3, streamtype="stdin")
    sent += data_frame(3, b"hello") + data_frame(3, b"", fin=True)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    connection, events = Connection(), []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        events += connection.receive(sent[start:end])[0]
    assert events == [
        Opened(1, {"streamtype": "error"}), Ended(1), Opened(3, {"streamtype": "stdin"}), Data(3, b"hello"), Ended(3),
    ]  # fmt: skip


def test_streams_and_pings_are_answered() -> None:
    connection = Connection()
    _, answer = connection.receive(Client().open(5, streamtype="stdout"))
    assert struct.unpack_from(">HH", answer) == (0x8003, spdy.FrameType.SYN_REPLY)
    assert struct.unpack_from(">I", answer, 8) == (5,)
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(answer[12:]) == struct.pack(">I", 0)
    ping = control(spdy.FrameType.PING, struct.pack(">I", 7))
    assert connection.receive(ping) == ([], ping)
    ignored = control(spdy.FrameType.SETTINGS, b"\0\0\0\0") + control(spdy.FrameType.GOAWAY, b"\0" * 8)
    assert connection.receive(ignored) == ([], b"")
    assert connection.receive(control(spdy.FrameType.RST_STREAM, struct.pack(">II", 5, 5))) == ([Reset(5)], b"")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(control(1, b"\0" * 10, version=2), id="version 2"),
        pytest.param(control(1, b"\0" * 10 + b"nonsense"), id="no zlib"),
        pytest.param(struct.pack(">II", 1, 0xFFFFFF), id="frame too large"),
        pytest.param(control(1, b"\0" * 10 + zlib.compress(struct.pack(">I", 9))), id="headers cut off"),
        pytest.param(control(1, b"\0" * 10 + zlib.compress(b"\0" * 100_000)), id="headers too large"),
    ],
)
def test_what_is_no_spdy_is_refused(data: bytes) -> None:
    with pytest.raises(SpdyError):
        Connection().receive(data)


async def connect(
    running: RunningServer, protocol: str = "v4.channel.k8s.io", path: str = PATH
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = running.server.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls_context(running.access))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
    writer.write(f"{head}X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode())
    return reader, writer


async def read_frames(reader: asyncio.StreamReader, *, until_fin_of: int) -> dict[int, bytes]:
    """Data by stream, until one of them ends."""
    found: dict[int, bytes] = {}
    while True:
        head, tail = struct.unpack(">II", await reader.readexactly(8))
        payload = await reader.readexactly(tail & 0xFFFFFF)
        if head >> 31:
            continue
        found[head] = found.get(head, b"") + payload
        if tail >> 24 & FIN and head == until_fin_of:
            return found


async def test_exec_over_spdy(running: RunningServer, api: FakeApi, streams: FakeStreams) -> None:
    await api.put(PODS, builders.pod("web", node="node-1"))
    reader, writer = await connect(running)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in head
    client = Client()
    for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")):
        writer.write(client.open(number, streamtype=kind))
    writer.write(data_frame(3, b"hello") + data_frame(3, b"", fin=True))
    async with asyncio.timeout(10):
        found = await read_frames(reader, until_fin_of=1)
    assert found[5] == b"hello"
    assert found[7] == b"ready\n"
    assert b'"status":"Success"' in found[1]
    assert streams.execs[0].received == [Frame(Channel.STDIN, b"hello"), Frame(Channel.CLOSE, b"\0")]
    writer.close()


async def test_a_taken_over_connection_is_forgotten_when_it_ends(
    running: RunningServer, api: FakeApi, streams: FakeStreams
) -> None:
    await api.put(PODS, builders.pod("web", node="node-1"))
    for _ in range(5):
        reader, writer = await connect(running)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
    async with asyncio.timeout(10):
        await streams.ended.wait()
        while running.server.connections:  # noqa: ASYNC110 - the server under test has no event for it
            await asyncio.sleep(0.01)


async def test_an_unknown_stream_protocol_is_refused(running: RunningServer, api: FakeApi) -> None:
    await api.put(PODS, builders.pod("web", node="node-1"))
    reader, writer = await connect(running, "v9.channel.k8s.io")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.transport.abort()
