"""Graceful node shutdown: ordinary pods first, critical ones last."""

import asyncio
from pathlib import Path

from nodeagent.runtime.fake import Program
from nodeagent.shutdown import Group, ShutdownPeriod, shutdown_groups
from orch.api.pod.spec import Pod
from tests.node_session import running
from tests.unit.nodeagent.machine import a_pod
from tests.unit.nodeagent.test_agent import Alone
from tests.unit.nodeagent.test_link import settle
from tests.unit.nodeagent.test_pod_worker import Machine


def pod(name: str, priority: int | None = None) -> Pod:
    return a_pod(meta={"name": name, "uid": f"{name}-uid"}, priority=priority)


def test_groups_and_their_periods() -> None:
    pods = [pod("dns", 2_000_000_000), pod("web"), pod("batch", -5), pod("node", 2_000_001_000)]
    assert shutdown_groups(pods, ShutdownPeriod(30, 10)) == [
        Group(("web-uid", "batch-uid"), 20.0),
        Group(("dns-uid", "node-uid"), 10.0),
    ]
    assert shutdown_groups([pod("web")], ShutdownPeriod(5, 10)) == [Group(("web-uid",), 0.0)]
    assert shutdown_groups([], ShutdownPeriod(5, 1)) == []


async def test_pods_end_in_order_and_what_comes_later_is_refused(tmp_path: Path) -> None:
    """1. the ordinary pod has ended before the critical one is told 2. the node is not ready 3. no new pod starts."""
    machine = Machine(tmp_path / "logs", Program(stop_s=0.05))
    alone = Alone(tmp_path, pod("web"), pod("dns", 2_000_000_000), machine=machine)
    runtime = machine.runtime
    async with running(alone.agent.run()):
        await settle(lambda: all(runtime.running(f"{name}-uid") for name in ("web", "dns")))
        async with asyncio.TaskGroup() as group:
            group.create_task(alone.agent.shut_down(ShutdownPeriod(4, 2)))
            await settle(lambda: not runtime.running("web-uid"))
            assert runtime.running("dns-uid")
            await settle(lambda: not runtime.running("dns-uid"))
        assert alone.described[-1] == "node is shutting down"
        alone.agent.workers.start(pod("late"))
        await settle(lambda: machine.told.events[-1] == "NodeShutdown")
        await settle(lambda: machine.told.status.reason == "NodeShutdown")
        assert not runtime.running("late-uid")
    stopped = [subject for verb, subject in runtime.calls if verb == "stop_container"]
    assert [name.partition("-")[0] for name in stopped] == ["web", "dns"]


async def test_an_agent_told_while_it_starts_ends_the_pods_that_it_finds(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "logs", Program())
    before, after = (Alone(tmp_path / name, pod("web"), machine=machine) for name in ("before", "after"))
    async with running(before.agent.run()):
        await settle(lambda: machine.runtime.running("web-uid"))
    async with running(after.agent.shut_down(ShutdownPeriod(4, 2))):
        await asyncio.sleep(0)
        assert machine.runtime.running("web-uid")
        async with running(after.agent.run()):
            await settle(lambda: not machine.runtime.running("web-uid"))
            await settle(lambda: machine.told.status.reason == "Terminated")
