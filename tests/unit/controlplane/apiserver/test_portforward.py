"""Port-forward in each of its protocols, to a server that echoes."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest

from controlplane.apiserver import byte_wires, forwarding
from controlplane.apiserver.forwarding import Inlet, Room
from controlplane.apiserver.spdy import data_frame
from orch.api.kinds import PODS
from tests import builders
from tests.apiserver import RunningServer
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams, LocalPort
from tests.unit.controlplane.apiserver.test_spdy import Client, connect, control, read_frames

FORWARD = "/api/v1/namespaces/default/pods/web/portforward"
SILENT, ECHO = 81, 80
REFUSED = (
    b"error forwarding port 99 to pod web, uid web-uid: unable to do port forwarding: "
    b"dial tcp4 127.0.0.1:99: connect: connection refused"
)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.write(b"!")
    writer.close()


@pytest.fixture(autouse=True)
async def held(api: FakeApi, streams: FakeStreams) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Connections of the silent server."""
    await api.put(PODS, builders.pod("web", node="node-1"))
    held: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads nothing."""
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        held.append(writer)

    listening = [await asyncio.start_server(handler, "127.0.0.1", 0) for handler in (echo, silent)]
    streams.ports = dict(zip((ECHO, SILENT), (s.sockets[0].getsockname()[1] for s in listening), strict=True))
    yield held
    for server in listening:
        server.close()
    for writer in held:
        writer.transport.abort()


async def no_forward_left(streams: FakeStreams) -> None:
    async with asyncio.timeout(5):
        while streams.forwards_open:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)


async def opened(running: RunningServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(running, "portforward.k8s.io", path=FORWARD)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


def pair(client: Client, first: int, request_id: str, port: int) -> bytes:
    headers = {"port": str(port), "requestid": request_id}
    return client.open(first, fin=True, streamtype="error", **headers) + client.open(
        first + 2, streamtype="data", **headers
    )


async def test_a_client_that_ends_its_side_still_gets_the_answer(running: RunningServer, streams: FakeStreams) -> None:
    reader, writer = await opened(running)
    writer.write(pair(Client(), 1, "0", ECHO) + data_frame(3, b"hello") + data_frame(3, b"", fin=True))
    async with asyncio.timeout(5):
        found = await read_frames(reader, until_fin_of=3)
    assert found == {1: b"", 3: b"hello!"}
    assert (streams.forwards[0].pod_uid, streams.forwards[0].port) == ("web-uid", ECHO)
    await no_forward_left(streams)
    writer.close()


async def test_many_connections_through_one_session(running: RunningServer, streams: FakeStreams) -> None:
    reader, writer = await opened(running)
    client = Client()
    numbers = range(1, 400, 4)
    writer.write(b"".join(pair(client, n, str(n), ECHO) + data_frame(n + 2, b"%d" % n) for n in numbers))
    writer.write(b"".join(data_frame(n + 2, b"", fin=True) for n in numbers))
    received: dict[int, bytes] = {}
    async with asyncio.timeout(10):
        while not all(received.get(n + 2, b"").endswith(b"!") for n in numbers):
            head, tail = struct.unpack(">II", await reader.readexactly(8))
            payload = await reader.readexactly(tail & 0xFFFFFF)
            if not head >> 31:
                received[head] = received.get(head, b"") + payload
    assert {n: received[n + 2] for n in numbers} == {n: b"%d!" % n for n in numbers}
    writer.close()
    await no_forward_left(streams)


async def test_a_port_that_refuses_is_told_on_the_error_stream(running: RunningServer) -> None:
    reader, writer = await opened(running)
    writer.write(pair(Client(), 1, "0", 99))
    async with asyncio.timeout(5):
        found = await read_frames(reader, until_fin_of=3)
    assert found == {1: REFUSED, 3: b""}
    writer.close()


async def test_streams_that_name_no_port_or_kind_are_reset(running: RunningServer) -> None:
    reader, writer = await opened(running)
    client = Client()
    writer.write(client.open(1, streamtype="data", port="none", requestid="0"))
    writer.write(client.open(5, streamtype="data", port="1" * 4400, requestid="0"))
    writer.write(client.open(3, streamtype="other", port="80", requestid="0"))
    async with asyncio.timeout(5):
        resets = []
        while len(resets) < 3:
            head, tail = struct.unpack(">II", await reader.readexactly(8))
            payload = await reader.readexactly(tail & 0xFFFFFF)
            if head & 0xFFFF == 3:
                resets.append(struct.unpack(">II", payload))
    assert resets == [(1, 3), (5, 3), (3, 3)]
    writer.close()


async def test_a_reset_data_stream_ends_its_connection_only(running: RunningServer, streams: FakeStreams) -> None:
    reader, writer = await opened(running)
    client = Client()
    writer.write(pair(client, 1, "0", SILENT) + pair(client, 5, "1", ECHO) + data_frame(7, b"still here"))
    writer.write(control(3, struct.pack(">II", 3, 5)))
    async with asyncio.timeout(5):
        await read_frames(reader, until_fin_of=1)
        assert streams.forwards_open == 1
        writer.write(data_frame(7, b"", fin=True))
        assert (await read_frames(reader, until_fin_of=7)).get(7, b"").endswith(b"!")
    writer.close()


@pytest.mark.parametrize("port", [ECHO, SILENT])
async def test_a_client_that_leaves_leaks_nothing(running: RunningServer, streams: FakeStreams, port: int) -> None:
    for _ in range(3):
        _, writer = await opened(running)
        writer.write(pair(Client(), 1, "0", port) + data_frame(3, b"x" * 100_000))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
    await no_forward_left(streams)
    async with asyncio.timeout(5):
        while running.server.connections:  # noqa: ASYNC110 - the server under test has no event for it
            await asyncio.sleep(0.01)


async def test_a_pod_that_takes_nothing_holds_the_client_back(
    running: RunningServer, streams: FakeStreams, held: list[asyncio.StreamWriter]
) -> None:
    _, writer = await opened(running)
    writer.write(pair(Client(), 1, "0", SILENT))
    sent, most = 0, 64 * 1024 * 1024
    try:
        async with asyncio.timeout(2):
            while sent < most:
                writer.write(data_frame(3, b"x" * 65536))
                await writer.drain()
                sent += 65536
    except TimeoutError:
        pass
    assert sent < most
    writer.transport.abort()
    held[0].transport.abort()
    await no_forward_left(streams)


async def test_the_inlets_of_a_session_share_a_bound() -> None:
    """1. two connections fill it 2. a third waits 3. until the pod of the first takes something 4. or its end comes."""
    room = Room(10)
    first, second, third = (Inlet(room) for _ in range(3))
    await first.put(b"x" * 6)
    await second.put(b"y" * 6)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(third.put(b"z"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert await first.take() == b"x" * 6
    await third.put(b"z" * 9)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(first.put(b"x"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await third.close()


async def test_who_takes_nothing_for_longest_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "STALL_MAX_S", 0.05)
    room = Room(10)
    still, lively = Inlet(room), Inlet(room)
    await lively.put(b"x" * 5)
    await still.put(b"y" * 5)
    assert await lively.take() == b"x" * 5
    await lively.put(b"x" * 6)
    await lively.put(b"more")
    assert await still.take() is None
    assert [await lively.take(), await lively.take()] == [b"x" * 6, b"more"]


async def test_what_nobody_takes_any_more_waits_for_no_room() -> None:
    room = Room(1)
    full, closed = Inlet(room), Inlet(room)
    await full.put(b"xx")
    await closed.close()
    async with asyncio.timeout(1):
        await closed.put(b"dropped")


async def test_a_client_that_leaves_unread_is_noticed(
    running: RunningServer, streams: FakeStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(port: LocalPort, data: bytes) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(forwarding, "INLET_MAX_BYTES", 1)
    monkeypatch.setattr(byte_wires, "PRESENCE_CHECK_S", 0.1)
    monkeypatch.setattr(LocalPort, "write", never)
    _, writer = await opened(running)
    writer.write(pair(Client(), 1, "0", ECHO))
    for _ in range(30):
        writer.write(data_frame(3, b"x" * 16_000))
    await writer.drain()
    await asyncio.sleep(0.3)
    assert streams.forwards_open == 1
    writer.transport.abort()
    await no_forward_left(streams)


async def test_the_tunnel_is_spdy_in_messages(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    protocol = "SPDY/3.1+portforward.k8s.io"
    async with http.ws_connect(FORWARD, protocols=(protocol,)) as socket:
        assert socket.protocol == protocol
        sent = pair(Client(), 1, "0", ECHO) + data_frame(3, b"hello") + data_frame(3, b"", fin=True)
        for start in range(0, len(sent), 7):
            await socket.send_bytes(sent[start : start + 7])
        stream = asyncio.StreamReader()
        async with asyncio.timeout(5):
            while b"!" not in (data := await socket.receive_bytes()):
                stream.feed_data(data)
            stream.feed_data(data)
            stream.feed_data(await socket.receive_bytes())
            assert (await read_frames(stream, until_fin_of=3))[3] == b"hello!"
    await no_forward_left(streams)


async def test_websocket_channels_begin_with_the_port(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    async with http.ws_connect(f"{FORWARD}?ports=80,99", protocols=("v4.channel.k8s.io",)) as socket:
        received: dict[int, bytes] = {}
        await socket.send_bytes(b"\0hello")
        async with asyncio.timeout(5):
            while len(received.get(3, b"")) <= 2 or len(received.get(0, b"")) < 7:
                message = await socket.receive_bytes()
                received[message[0]] = received.get(message[0], b"") + message[1:]
    assert received == {
        0: struct.pack("<H", 80) + b"hello",
        1: struct.pack("<H", 80),
        2: struct.pack("<H", 99),
        3: struct.pack("<H", 99) + REFUSED,
    }
    await no_forward_left(streams)


async def test_v5_channels_end_one_by_one(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(f"{FORWARD}?ports=80", protocols=("v5.channel.k8s.io",)) as socket:
        await socket.send_bytes(b"\0hello")
        await socket.send_bytes(b"\xff\0")
        async with asyncio.timeout(5):
            messages = [message.data async for message in socket]
    assert b"".join(m[1:] for m in messages if m[0] == 0) == struct.pack("<H", 80) + b"hello!"
    assert messages[-1] == b"\xff\0"


async def test_base64_channels(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(f"{FORWARD}?ports=80", protocols=("v4.base64.channel.k8s.io",)) as socket:
        assert await socket.receive_str() == "0" + base64.b64encode(struct.pack("<H", 80)).decode()
        assert (await socket.receive_str())[0] == "1"
        await socket.send_str("0" + base64.b64encode(b"hi").decode())
        assert await socket.receive_str() == "0" + base64.b64encode(b"hi").decode()
        await socket.send_str("0***")
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


@pytest.mark.parametrize(
    ("query", "protocol", "says"),
    [
        pytest.param("", "v4.channel.k8s.io", '"ports" is required', id="no port"),
        pytest.param("?ports=", "v4.channel.k8s.io", "cannot be empty", id="empty port"),
        pytest.param("?ports=80,x", "v4.channel.k8s.io", 'unable to parse "x" as a port', id="no number"),
        pytest.param("?ports=0", "v4.channel.k8s.io", "must be > 0", id="zero"),
        pytest.param("?ports=%C2%B2", "v4.channel.k8s.io", 'unable to parse "²" as a port', id="superscript"),
        pytest.param(f"?ports={'1' * 4400}", "v4.channel.k8s.io", "as a port", id="too many digits"),
        pytest.param("?ports=70000", "v4.channel.k8s.io", 'unable to parse "70000"', id="too high"),
        pytest.param("?ports=80", "v9.channel.k8s.io", "none of the websocket protocols", id="protocol"),
        pytest.param("?ports=80", "", "Upgrade request required", id="no upgrade"),
    ],
)
async def test_bad_requests(http: aiohttp.ClientSession, query: str, protocol: str, says: str) -> None:
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(), "Sec-WebSocket-Protocol": protocol,
    }  # fmt: skip
    async with http.get(FORWARD + query, headers=upgrade if protocol else {}) as response:
        status = await response.json()
    assert (response.status, status["reason"]) == (400, "BadRequest")
    assert says in status["message"]
