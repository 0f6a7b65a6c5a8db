"""A server over the fake Api, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from orch.api.kinds import builtin_kinds
from orch.client.http import HttpClient, connect, tls_context
from tests.apiserver import RunningServer, running_server
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams


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
