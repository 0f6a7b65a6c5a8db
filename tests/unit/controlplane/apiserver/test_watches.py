"""Watch streams on the wire: when they begin, what they carry, and every way in which they end."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.apiserver import watches
from controlplane.registry.interface import StoredEvent
from controlplane.store.shelf import WATCH_BATCH_EVENTS_MAX
from orch.api.kinds import PODS, builtin_kinds
from orch.client.client import EventType
from orch.client.http import HttpClient, tls_context
from orch.errors import Expired
from tests import builders
from tests.apiserver import RunningServer, running_server
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams

PATH = "/api/v1/pods?watch=true"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def event_of(response: aiohttp.ClientResponse) -> Any:
    return json.loads(await response.content.readline())


async def test_the_head_comes_before_any_event(http: aiohttp.ClientSession, api: FakeApi) -> None:
    async with asyncio.timeout(5), http.get(PATH) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        stored = await api.put(PODS, builders.pod("web"))
        line = await response.content.readline()
    assert line == b'{"type":"ADDED","object":' + stored.data + b"}\n"


async def test_pending_events_come_as_one_chunk(http: aiohttp.ClientSession, api: FakeApi) -> None:
    start = api.revision
    for number in range(3):
        await api.put(PODS, builders.pod(f"web-{number}"))
    async with http.get(f"{PATH}&resourceVersion={start}") as response:
        chunk, is_whole = await response.content.readchunk()
    assert (chunk.count(b"\n"), is_whole) == (3, True)


async def test_events_that_follow_closely_wait_for_each_other(http: aiohttp.ClientSession, api: FakeApi) -> None:
    async with asyncio.timeout(5), http.get(PATH) as response:
        counts = []
        for batch in (1, 5):
            for number in range(batch):
                await api.put(PODS, builders.pod(f"web-{batch}-{number}"))
                await asyncio.sleep(0)
            counts.append((await response.content.readchunk())[0].count(b"\n"))
    assert counts == [1, 5]


async def test_a_watcher_that_is_behind_does_not_wait(
    http: aiohttp.ClientSession, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BEAT_S", "BEAT_MAX_S"):
        monkeypatch.setattr(watches, name, 60.0)
    start = api.revision
    for number in range(WATCH_BATCH_EVENTS_MAX):
        await api.put(PODS, builders.pod(f"web-{number}"))
    async with asyncio.timeout(10), http.get(f"{PATH}&resourceVersion={start}") as response:
        for _ in range(WATCH_BATCH_EVENTS_MAX):
            await response.content.readline()
        await api.put(PODS, builders.pod("last"))
        assert (await event_of(response))["object"]["metadata"]["name"] == "last"


async def test_timeout_seconds_ends_the_stream_cleanly(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{PATH}&timeoutSeconds=1") as response:
        assert await response.read() == b""


async def test_expired_at_the_start_is_an_error_event(client: HttpClient, api: FakeApi) -> None:
    await api.expire()
    async with client.watch(PODS, resource_version="1") as events:
        with pytest.raises(Expired):
            await anext(events)


async def test_expired_on_the_way_is_an_error_event(client: HttpClient, api: FakeApi) -> None:
    async with client.watch(PODS, resource_version="100") as events:
        await api.expire()
        with pytest.raises(Expired):
            await anext(events)


async def test_a_failure_inside_is_told_and_logged(
    http: aiohttp.ClientSession, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http.get(PATH) as response:
        monkeypatch.setattr("controlplane.apiserver.watches.http_chunk", None)
        await api.put(PODS, builders.pod("web"))
        event = await event_of(response)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500)


async def test_a_watch_on_one_object_selects_its_name(http: aiohttp.ClientSession, api: FakeApi) -> None:
    async with http.get("/api/v1/namespaces/default/pods/web?watch=1&fieldSelector=spec.nodeName=a"):
        pass
    assert api.calls[-1][1].field_selector == "metadata.name=web,spec.nodeName=a"


async def test_tables_in_a_watch(http: aiohttp.ClientSession, api: FakeApi) -> None:
    async with http.get(PATH, headers={"Accept": TABLE}) as response:
        await api.put(PODS, builders.pod("web"))
        added = await event_of(response)
        await api.put(PODS, builders.pod("bookmark"), EventType.BOOKMARK)
        bookmark = await event_of(response)
    assert [row["cells"][0] for row in added["object"]["rows"]] == ["web"]
    assert (bookmark["type"], bookmark["object"]["rows"]) == ("BOOKMARK", [])
    assert bookmark["object"]["metadata"]["resourceVersion"] == str(api.revision)


async def test_a_client_that_leaves_ends_the_watch(
    running: RunningServer, http: aiohttp.ClientSession, api: FakeApi
) -> None:
    watches = running.server._resources.watches
    async with http.get(PATH) as response:
        assert len(watches._open) == 1
        response.close()
    async with asyncio.timeout(5):
        while watches._open:  # noqa: ASYNC110 - the server under test has no event for it
            await asyncio.sleep(0.01)


async def test_stopping_the_server_ends_watches_cleanly(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    async with running_server(tmp_path, api, builtin_kinds(), streams) as running:
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls_context(running.access)))
        response = await session.get(running.access.server + PATH)
    async with session, asyncio.timeout(5):
        assert await response.read() == b""


async def test_batches_of_the_same_events_share_their_bytes(running: RunningServer, api: FakeApi) -> None:
    """As watchers of a form that is not the stored one have them."""
    chunk_of = running.server._resources.watches._shared_chunk
    stored = [await api.put(PODS, builders.pod(f"web-{number}")) for number in range(3)]
    events = [StoredEvent(EventType.ADDED, each) for each in stored]
    chunk = chunk_of(list(events))
    assert chunk_of(list(events)) is chunk
    assert chunk_of([events[0], events[0], events[2]]) != chunk
    assert chunk_of(events[:2]) != chunk


async def test_a_watcher_that_does_not_read_is_cut(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    async with running_server(tmp_path, api, builtin_kinds(), streams, slow_watcher_timeout_s=0.1) as running:
        watches = running.server._resources.watches
        port = running.server.addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls_context(running.access), limit=1024)
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readline()
        pod = builders.pod("web", annotations={"blob": "x" * 200_000})
        async with asyncio.timeout(20):
            while watches._open:
                await api.put(PODS, pod, EventType.MODIFIED)
                await asyncio.sleep(0.01)
        writer.transport.abort()
