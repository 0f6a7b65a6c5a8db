"""What a list costs after the first time: only runs with changed objects are compressed anew."""

import gzip
import json
from typing import Any

import aiohttp
import pytest

from controlplane.apiserver import lists
from orch.api.kinds import PODS
from orch.client.client import EventType
from tests import builders
from tests.unit.controlplane.apiserver.fakes import FakeApi

PATH = "/api/v1/namespaces/default/pods"
PODS_TOTAL = 1500


async def read(http: aiohttp.ClientSession, encoding: str) -> bytes:
    async with http.get(PATH, headers={"Accept-Encoding": encoding}, auto_decompress=False) as response:
        body = await response.read()
        assert int(response.headers["Content-Length"]) == len(body)
        return gzip.decompress(body) if encoding == "gzip" else body


async def test_only_changed_runs_are_compressed(
    http: aiohttp.ClientSession, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(PODS_TOTAL):
        await api.put(PODS, builders.pod(f"web-{number:04}"))
    compressed: list[int] = []
    original = lists._compress_runs

    def counting(runs: dict[Any, Any]) -> dict[Any, Any]:
        compressed.append(len(runs))
        return original(runs)

    monkeypatch.setattr(lists, "_compress_runs", counting)
    first = await read(http, "gzip")
    assert await read(http, "gzip") == first
    await api.put(PODS, builders.pod("web-0700", phase="Running"), EventType.MODIFIED)
    changed = await read(http, "gzip")
    assert changed == await read(http, "identity")
    assert json.loads(changed)["items"][700]["status"]["phase"] == "Running"
    assert len(compressed) == 2
    assert compressed[0] > 20
    assert compressed[1] <= 2


def test_the_cache_of_segments_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "CACHE_MAX_BYTES", 100)
    sender = lists.Lists()
    segment = lists.compress(b"x")
    for number in range(100):
        sender._keep(("v1", "pods", (number,)), segment)
        sender._evict()
    assert sender._cached_bytes == sum(len(s.data) for s in sender._segments.values()) <= 100
