"""A server over the fake Api, and a client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import aiohttp
import pytest
import uvloop

from orch.api.kinds import builtin_kinds
from orch.client.http import HttpClient, connect, tls_context
from tests.apiserver import RunningServer, running_server
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """What is about transports runs on uvloop, as in production, and on asyncio's own loop."""
    both = item.path.stem in (
        "test_portforward",
        "test_proxy",
        "test_spdy",
        "test_streams",
        "test_watches",
        "test_lists",
    )
    return {"asyncio": asyncio.new_event_loop, **({"uvloop": uvloop.new_event_loop} if both else {})}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
async def running(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> AsyncIterator[RunningServer]:
    async with running_server(tmp_path, api, builtin_kinds(), streams) as running:
        yield running


@pytest.fixture
async def client(running: RunningServer) -> AsyncIterator[HttpClient]:
    async with connect(running.access, user_agent="tests/1") as client:
        yield client


@pytest.fixture
async def http(running: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Raw HTTP as the admin; paths are relative."""
    connector = aiohttp.TCPConnector(ssl=tls_context(running.access))
    async with aiohttp.ClientSession(running.access.server, connector=connector) as session:
        yield session
