"""Streams to a node: asked for by token, opened or refused by the agent, over when either side has gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controlplane.apiserver.streams import AttachRequest, Channel, Frame, PortForwardRequest
from controlplane.nodeplane.streams import Streams
from orch.errors import NotFound, Unauthorized
from orch.kit.ids import SystemIds
from protos import node_pb2

OPENED = node_pb2.StreamFrame(opened=node_pb2.Opened())
PORT = PortForwardRequest("uid", "default", "web", 80)


class FakeCall:
    """What the agent says is put in before; None ends its side."""

    def __init__(self, *frames: node_pb2.StreamFrame | None) -> None:
        self._frames = list(frames)
        self.written: list[node_pb2.StreamFrame] = []

    async def read(self) -> node_pb2.StreamFrame | None:
        return self._frames.pop(0)

    async def write(self, frame: node_pb2.StreamFrame) -> None:
        self.written.append(frame)


def data(channel: int, payload: bytes) -> node_pb2.StreamFrame:
    return node_pb2.StreamFrame(data=node_pb2.Data(channel=channel, data=payload))


class Agent:
    def __init__(self, call: FakeCall) -> None:
        self.call = call
        self.asked: list[node_pb2.OpenStream] = []
        self.node = "node-1"
        self.served = False

    async def serve(self, streams: Streams) -> None:
        while not self.asked:  # noqa: ASYNC110 - the request comes in the next turns
            await asyncio.sleep(0)
        await streams.serve(self.node, self.asked[0].token, self.call)
        self.served = True


@asynccontextmanager
async def streams_of(agent: Agent) -> AsyncIterator[Streams]:
    streams = Streams(lambda node, request: agent.asked.append(request), SystemIds())
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(agent.serve(streams))
        yield streams
        await serving


async def test_a_port_ends_with_an_empty_frame_and_breaks_without() -> None:
    agent = Agent(FakeCall(OPENED, data(1, b"hello"), data(1, b""), None))
    async with streams_of(agent) as streams, streams.port_forward("node-1", PORT) as port:
        await port.write(b"ask")
        await port.write(b"")
        await port.end()
        assert [await port.read(), await port.read()] == [b"hello", b""]
        with pytest.raises(ConnectionResetError):
            await port.read()
    assert agent.call.written == [data(0, b"ask"), data(0, b"")]
    assert (agent.asked[0].port_forward.pod_uid, agent.asked[0].port_forward.port) == ("uid", 80)
    assert agent.served


async def test_attach_asks_for_the_streams() -> None:
    agent = Agent(FakeCall(OPENED, data(1, b"out"), None))
    request = AttachRequest("uid", "default", "web", "app", stdin=True, stdout=True, stderr=False, tty=True)
    async with streams_of(agent) as streams, streams.attach("node-1", request) as attached:
        assert [frame async for frame in attached] == [Frame(Channel.STDOUT, b"out")]
    asked = agent.asked[0].attach
    assert (asked.container, asked.stdin, asked.stdout, asked.stderr, asked.tty) == ("app", True, True, False, True)


async def test_a_refusal_is_raised() -> None:
    status = json.dumps(NotFound("no such pod here").to_status()).encode()
    agent = Agent(FakeCall(node_pb2.StreamFrame(refused=status)))
    async with streams_of(agent) as streams:
        with pytest.raises(NotFound, match="no such pod here"):
            async with streams.port_forward("node-1", PORT):
                pass


async def test_a_token_is_good_for_one_node_and_one_call() -> None:
    agent = Agent(FakeCall(OPENED, None))
    async with streams_of(agent) as streams, streams.port_forward("node-1", PORT):
        with pytest.raises(Unauthorized):
            await streams.serve("node-1", agent.asked[0].token, agent.call)
        with pytest.raises(Unauthorized):
            await streams.serve("node-2", "another", agent.call)


async def test_a_timeout_of_the_user_is_the_users() -> None:
    agent = Agent(FakeCall(OPENED, None))
    async with streams_of(agent) as streams:
        with pytest.raises(TimeoutError):
            async with streams.port_forward("node-1", PORT):
                raise TimeoutError
