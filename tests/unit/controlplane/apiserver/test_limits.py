"""Fair turns at the gate, and a flood against a whole server."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from controlplane.apiserver.limits import IDLE_FLOWS_MAX, FairGate, GateLimits
from orch.api.kinds import PODS, builtin_kinds
from orch.client.http import tls_context
from orch.errors import TooManyRequests
from tests import builders
from tests.apiserver import running_server
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams

LIMITS = GateLimits(in_flight_max=4, in_flight_per_user_max=3, queued_per_user_max=5, retry_after_s=7)
ANSWER_MAX_S = 0.6
"""For the slowest of a user's requests beside a flood: without turns it waits for 100 / 4 * 50 ms."""


class Work:
    """Requests that stay in work until they are released, in the order in which they began."""

    def __init__(self) -> None:
        self.gate = FairGate(LIMITS)
        self.begun: list[str] = []
        self._open: dict[str, asyncio.Event] = {}

    async def request(self, name: str) -> str:
        """The user is what stands before the number in `name`."""
        return await self.gate.run(name.rstrip("0123456789"), self._handle, name)

    async def _handle(self, name: str) -> str:
        self.begun.append(name)
        self._open[name] = asyncio.Event()
        await self._open[name].wait()
        return name

    async def finish(self, *names: str) -> None:
        for name in names:
            self._open[name].set()
            await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_turns_go_from_user_to_user() -> None:
    work = Work()
    async with asyncio.TaskGroup() as group:
        for name in ("a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1"):
            group.create_task(work.request(name))
        await settled()
        assert work.begun == ["a1", "a2", "a3", "b1"]
        await work.finish("a1", "a2", "a3", "b1")
        assert work.begun[4:] == ["b2", "c1", "a4", "a5"]
        await work.finish("b2", "c1", "a4", "a5")


async def test_a_full_queue_refuses_and_leaves_others_alone() -> None:
    work = Work()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work.request(f"a{number}")) for number in range(8)]
        await settled()
        with pytest.raises(TooManyRequests) as refused:
            await work.request("a9")
        assert refused.value.retry_after_s == 7
        group.create_task(work.request("b1"))
        await settled()
        assert work.begun == ["a0", "a1", "a2", "b1"]
        for task in tasks:
            task.cancel()
        await work.finish("b1")


async def test_who_leaves_gives_up_place_and_turn() -> None:
    work = Work()
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(work.request(name)) for name in ("a1", "a2", "a3", "a4", "a5", "b1", "c1")}
        await settled()
        tasks["a4"].cancel()
        tasks["c1"].cancel()
        await work.finish("a1")
        assert work.begun == ["a1", "a2", "a3", "b1", "a5"]
        work._open["b1"].set()
        tasks["d1"] = group.create_task(work.request("d1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks["d1"].cancel()
        await settled()
        await work.finish("a2", "a3", "a5")
    assert (work.gate._in_flight, len(work.gate._turns)) == (0, 0)
    assert not any(flow.in_flight or flow.waiting for flow in work.gate._flows.values())


async def test_users_are_forgotten_when_there_are_many() -> None:
    work = Work()
    for number in range(IDLE_FLOWS_MAX + 10):
        await work.gate.run(f"user-{number}", asyncio.sleep, 0)
    assert len(work.gate._flows) == IDLE_FLOWS_MAX


async def test_a_flood_leaves_others_answers(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    """100 connections of one user against one of another; a read takes 50 ms, 4 are in work at once."""
    api.pause_s = 0.05
    await api.put(PODS, builders.pod("web"))
    limits = GateLimits(in_flight_max=4, in_flight_per_user_max=3, queued_per_user_max=400, retry_after_s=1)
    async with running_server(tmp_path, api, builtin_kinds(), streams, reads=limits) as running:
        path = f"{running.access.server}/api/v1/namespaces/default/pods/web"
        flooding, other = (running.access_of(user, "system:masters") for user in ("flood", "other"))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls_context(flooding), limit=100)) as many,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls_context(other))) as one,
            asyncio.TaskGroup() as group,
        ):
            flood = [group.create_task(ask_for_ever(many, path)) for _ in range(100)]
            await asyncio.sleep(1)
            times = [await ask(one, path) for _ in range(20)]
            for task in flood:
                task.cancel()
    assert max(times) < ANSWER_MAX_S


async def ask(session: aiohttp.ClientSession, path: str) -> float:
    began = asyncio.get_running_loop().time()
    async with session.get(path) as response:
        assert response.status == 200
        await response.read()
    return asyncio.get_running_loop().time() - began


async def ask_for_ever(session: aiohttp.ClientSession, path: str) -> None:
    while True:
        async with session.get(path) as response:
            await response.read()
