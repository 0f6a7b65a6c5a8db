"""What ends a watch over websocket reaches the server as it is, so that it can cut the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.apiserver import watch_outlets
from controlplane.apiserver.watch_outlets import SlowWatcher, messages


class Socket:
    """A client that says nothing, takes nothing, and may leave."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def send_str(self, text: str) -> None:
        await asyncio.Event().wait()

    def __aiter__(self) -> "Socket":
        return self

    async def __anext__(self) -> None:
        await self.left.wait()
        raise StopAsyncIteration


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Socket:
    socket = Socket()

    @asynccontextmanager
    async def opened(request: Any, protocols: Any) -> AsyncIterator[Socket]:
        yield socket

    monkeypatch.setattr(watch_outlets, "open_web_socket", opened)
    return socket


CALL: Any = SimpleNamespace(request=None)


async def test_a_client_that_takes_nothing_is_cut(client: Socket) -> None:
    with pytest.raises(SlowWatcher):
        async with messages(CALL, lambda batch: [b"{}"], 0.01) as outlet:
            await outlet.send([])
    with pytest.raises(SlowWatcher):
        async with messages(CALL, lambda batch: [], 0.01) as outlet:
            await outlet.tell(b"{}")


async def test_a_connection_that_breaks_is_told_as_such(client: Socket) -> None:
    with pytest.raises(ConnectionResetError):
        async with messages(CALL, lambda batch: [], 1):
            raise ConnectionResetError("gone")


async def test_who_leaves_cancels_the_watch(client: Socket) -> None:
    async def watch() -> None:
        async with messages(CALL, lambda batch: [], 1):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        await asyncio.sleep(0.01)
        client.left.set()
        await asyncio.wait((watching,), timeout=1)
    assert watching.cancelled()
