"""log and exec: options in, the node's frames out, over the websocket protocols that clients speak."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from msgspec.structs import replace

from controlplane.apiserver.streams import AttachRequest, Channel, ExecRequest, Frame
from orch.api.kinds import PODS
from orch.errors import BadRequest, ServiceUnavailable
from tests import builders
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeExec, FakeStreams

POD = "/api/v1/namespaces/default/pods/web"
EXEC = f"{POD}/exec?command=cat&command=-&stdin=true&stdout=true&stderr=true"


@pytest.fixture
async def pod(api: FakeApi) -> None:
    await api.put(PODS, builders.pod("web", node="node-1"))


@pytest.mark.usefixtures("pod")
async def test_log_options_reach_the_node(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    streams.log_chunks = [b"one\n", b"", b"two\n"]
    async with http.get(f"{POD}/log?tailLines=5&timestamps=true&sinceTime=2026-01-01T00:00:00Z") as response:
        assert (response.headers["Content-Type"], await response.read()) == ("text/plain", b"one\ntwo\n")
    node, request = streams.log_requests[0]
    assert (node, request.container, request.tail_lines, request.timestamps, request.since_time_unix_s) == (
        "node-1", "app", 5, True, 1767225600.0,
    )  # fmt: skip


@pytest.mark.usefixtures("pod")
async def test_one_stream_of_an_earlier_attempt(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    options = "stream=Stderr&previous=true&limitBytes=9&insecureSkipTLSVerifyBackend=true"
    async with http.get(f"{POD}/log?{options}") as response:
        assert (response.status, response.headers.getall("Warning", [])) == (200, [])
    _, request = streams.log_requests[0]
    assert (request.stream, request.previous, request.limit_bytes) == ("Stderr", True, 9)


@pytest.mark.usefixtures("pod")
async def test_a_node_that_refuses_is_a_status(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    streams.refusal = BadRequest('container "app" in pod "web" is waiting to start: ContainerCreating')
    async with http.get(f"{POD}/log") as response:
        assert (response.status, (await response.json())["reason"]) == (400, "BadRequest")


@pytest.mark.usefixtures("pod")
async def test_a_log_that_breaks_is_not_taken_for_a_whole(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    streams.log_chunks, streams.broken = [b"half\n"], ServiceUnavailable("the node is gone")
    async with http.get(f"{POD}/log") as response:
        assert await response.content.readline() == b"half\n"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("tailLines=-1&limitBytes=0", 422, id="out of range"),
        pytest.param("tailLines=x", 400, id="no number"),
        pytest.param("sinceTime=yesterday", 400, id="no time"),
        pytest.param("sinceTime=2026-01-01T00:00:00Z&sinceSeconds=1", 422, id="both since"),
        pytest.param("stream=Stdin", 422, id="unknown stream"),
        pytest.param("stream=Stdout&tailLines=1", 422, id="tail of one stream"),
        pytest.param("container=other", 400, id="unknown container"),
    ],
)
async def test_bad_log_options(http: aiohttp.ClientSession, query: str, code: int) -> None:
    async with http.get(f"{POD}/log?{query}") as response:
        assert (response.status, (await response.json())["kind"]) == (code, "Status")


async def test_a_pod_without_node_has_no_log(http: aiohttp.ClientSession, api: FakeApi) -> None:
    await api.put(PODS, builders.pod("web"))
    async with http.get(f"{POD}/log") as response:
        assert (response.status, (await response.json())["message"]) == (400, "pod web does not have a host assigned")


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_exec_over_binary_channels(http: aiohttp.ClientSession, streams: FakeStreams, protocol: str) -> None:
    async with http.ws_connect(EXEC, protocols=(protocol,)) as socket:
        assert socket.protocol == protocol
        assert await socket.receive_bytes() == b"\x01"
        assert await socket.receive_bytes() == b"\x02ready\n"
        await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes() == b"\x01hello"
        await socket.send_bytes(b'\x04{"Width":80,"Height":24}')
        await socket.send_bytes(b"\x00exit")
        error = await socket.receive_bytes()
        assert (error[0], json.loads(error[1:])["status"]) == (3, "Success")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    run = streams.execs[0]
    assert run.request == ExecRequest("web-uid", "default", "web", "app", ("cat", "-"), True, True, True, False)
    assert run.received[1] == Frame(Channel.RESIZE, b'{"Width":80,"Height":24}')


@pytest.mark.usefixtures("pod")
async def test_text_is_input_too(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    async with http.ws_connect(EXEC, protocols=("v4.channel.k8s.io",)) as socket:
        await socket.send_str("\0exit")
        while (await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            pass
    assert streams.execs[0].received == [Frame(Channel.STDIN, b"exit")]


@pytest.mark.usefixtures("pod")
async def test_v5_closes_stdin(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    async with http.ws_connect(EXEC, protocols=("v5.channel.k8s.io",)) as socket:
        await socket.send_bytes(b"\xff\x00")
        while (await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            pass
    assert streams.execs[0].received == [Frame(Channel.CLOSE, b"\x00")]


@pytest.mark.usefixtures("pod")
async def test_exec_over_base64_channels(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(EXEC, protocols=("base64.channel.k8s.io",)) as socket:
        assert await socket.receive_str() == "1"
        assert await socket.receive_str() == "2" + base64.b64encode(b"ready\n").decode()
        await socket.send_str("0" + base64.b64encode(b"exit").decode())
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.usefixtures("pod")
async def test_a_client_that_leaves_ends_the_command(http: aiohttp.ClientSession, streams: FakeStreams) -> None:
    async with http.ws_connect(EXEC, protocols=("v4.channel.k8s.io",)) as socket:
        await socket.receive_bytes()
    async with asyncio.timeout(5):
        await streams.ended.wait()


@pytest.mark.parametrize(
    ("spec", "asked", "given"),
    [
        pytest.param({}, "stdin=true&stdout=true", (False, True, False, False), id="no stdin"),
        pytest.param({"stdin": True}, "stdin=true&stdout=true&stderr=true", (True, True, True, False), id="stdin"),
        pytest.param({"stdin": True, "tty": True}, "stdout=true&stderr=true", (False, True, False, True), id="its tty"),
        pytest.param({}, "stdout=true&tty=true", (False, True, False, False), id="no tty"),
    ],
)
async def test_attach_is_to_what_the_container_has(
    http: aiohttp.ClientSession, api: FakeApi, streams: FakeStreams, spec: dict[str, bool],
    asked: str, given: tuple[bool, bool, bool, bool],
) -> None:  # fmt: skip
    pod = builders.pod("web", node="node-1")
    container = replace(pod.spec.containers[0], **spec)
    await api.put(PODS, replace(pod, spec=replace(pod.spec, containers=(container,))))
    async with http.ws_connect(f"{POD}/attach?{asked}", protocols=("v4.channel.k8s.io",)) as socket:
        await socket.receive_bytes()
    assert streams.execs[0].request == AttachRequest("web-uid", "default", "web", "app", *given)


@pytest.mark.usefixtures("pod")
async def test_an_end_that_the_node_never_told_is_an_error(
    http: aiohttp.ClientSession, streams: FakeStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(run: FakeExec) -> AsyncIterator[Frame]:
        yield Frame(Channel.STDOUT, b"half")

    monkeypatch.setattr(FakeExec, "_frames", broken)
    async with http.ws_connect(EXEC, protocols=("v5.channel.k8s.io",)) as socket:
        messages = [message.data async for message in socket]
    assert (messages[1], messages[2][0]) == (b"\1half", Channel.ERROR)
    assert json.loads(messages[2][1:])["reason"] == "InternalError"


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param("?stdout=true", {}, id="no command"),
        pytest.param("?command=ls", {}, id="no stream"),
        pytest.param("?command=ls&stdout=true", {}, id="no upgrade"),
    ],
)
async def test_bad_exec_requests(http: aiohttp.ClientSession, query: str, headers: dict[str, str]) -> None:
    async with http.get(f"{POD}/exec{query}", headers=headers) as response:
        assert (response.status, (await response.json())["reason"]) == (400, "BadRequest")


@pytest.mark.usefixtures("pod")
async def test_an_unknown_websocket_protocol_is_refused(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(EXEC, protocols=("v9.channel.k8s.io",))
    assert caught.value.status == 400
