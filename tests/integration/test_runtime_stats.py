"""Figures against what containers are known to do: burn, hold, write, send, be throttled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nodeagent.runtime.cgroups import detect_here
from nodeagent.runtime.figures import ContainerStats, PodStats
from nodeagent.runtime.interface import Resources
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

MIB = 1 << 20
HELD_BYTES_MIN = 18 * MIB
"""Of 20 MB that a script holds: counters of a CPU are added in batches."""
UNBOUNDED = Resources()
COUNTS_PRESSURE = detect_here().is_v2 and Path("/proc/pressure").exists()


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("stats") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


async def started(node: Node, script: str, resources: Resources = UNBOUNDED) -> str:
    """Once the script has said `ready`."""
    sandbox = await node.pod()
    container_id = await node.start(shell(sandbox, node.image, script, resources=resources))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while "ready" not in node.lab.raw_log(sandbox):  # noqa: ASYNC110 - a log file sends no event
            await asyncio.sleep(0.02)
    return container_id


async def settled_figures(node: Node) -> tuple[ContainerStats, PodStats]:
    """Once the kernel has added up its counters, which it does every two seconds for each level."""
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while True:
            container, pod = await figures(node)
            all_levels = (container.usage, pod.usage, await node.runtime.node_usage())
            if min(usage.memory_rss_bytes for usage in all_levels) >= HELD_BYTES_MIN:
                return container, pod
            await asyncio.sleep(0.1)


async def figures(node: Node) -> tuple[ContainerStats, PodStats]:
    [container], [pod] = await node.runtime.container_stats(), await node.runtime.pod_stats()
    return container, pod


async def test_cpu_time_and_throttling_grow(node: Node) -> None:
    await started(node, "echo ready; while :; do :; done", Resources(cpu_quota_us=20_000))
    before, pod_before = await figures(node)
    await asyncio.sleep(1)
    after, pod_after = await figures(node)
    took_s = (after.sampled_at - before.sampled_at).total_seconds()
    burnt_s = (after.usage.cpu_ns - before.usage.cpu_ns) / 1e9
    assert 0.05 < burnt_s <= 0.2 * took_s + 0.1
    assert after.usage.cpu_throttled_periods > before.usage.cpu_throttled_periods
    assert after.usage.cpu_throttled_us > before.usage.cpu_throttled_us
    assert after.usage.cpu_periods >= after.usage.cpu_throttled_periods
    assert pod_after.usage.cpu_ns - pod_before.usage.cpu_ns >= after.usage.cpu_ns - before.usage.cpu_ns - 5e7
    assert (await node.runtime.node_usage()).cpu_ns >= pod_after.usage.cpu_ns


async def test_memory_that_is_held_is_told_from_the_page_cache(node: Node) -> None:
    script = "head -c 40000000 /dev/zero > /file; x=$(yes | head -c 20000000); echo ready; sleep 1000; :"
    await started(node, script)
    container, pod = await settled_figures(node)
    for usage in (container.usage, pod.usage, await node.runtime.node_usage()):
        assert usage.memory_rss_bytes >= HELD_BYTES_MIN
        assert usage.memory_bytes >= usage.memory_working_set_bytes >= HELD_BYTES_MIN
        assert usage.page_faults > 0
    assert container.usage.memory_bytes - container.usage.memory_working_set_bytes >= 30 * MIB


async def test_processes_are_counted(node: Node) -> None:
    await started(node, "for i in 1 2 3; do sleep 1000 & done; echo ready; wait")
    container, pod = await figures(node)
    assert (container.usage.processes, pod.usage.processes) == (4, 4)


async def test_pressure_is_there_where_the_kernel_counts_it(node: Node) -> None:
    await started(node, "echo ready; sleep 1000")
    container, _ = await figures(node)
    assert set(container.usage.pressure) == ({"cpu", "memory", "io"} if COUNTS_PRESSURE else set())


async def test_a_pods_interfaces_are_counted_without_loopback(node: Node) -> None:
    await started(node, "nc -ll -p 80 -e cat & sleep 0.2; echo hello | nc -w 1 127.0.0.1 80; echo ready; sleep 1000")
    _, pod = await figures(node)
    assert pod.network is not None
    assert (pod.network.rx_bytes, pod.network.tx_packets) == (0, 0)


async def test_what_a_container_wrote_and_logged_is_counted(node: Node) -> None:
    written = "head -c 5000000 /dev/zero > /big; ln /big /same; mkdir /d; : > /d/e; yes | head -c 300000"
    container_id = await started(node, f"{written}; echo ready; sleep 1000")
    [storage] = await node.runtime.container_storage()
    assert storage.container_id == container_id
    assert 5_000_000 <= storage.writable_layer.used_bytes <= 5_200_000
    assert storage.writable_layer.inodes == 4  # the layer's root, big, d, e
    assert storage.logs.used_bytes >= 300_000
    assert storage.logs.inodes == 2


async def test_what_has_ended_has_no_figures(node: Node) -> None:
    container_id = await started(node, "echo ready; sleep 1000")
    await node.runtime.stop_container(container_id, grace_s=0)
    assert await node.runtime.container_stats() == []
