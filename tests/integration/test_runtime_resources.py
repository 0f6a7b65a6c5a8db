"""Limits: what the cgroup files say, and what the kernel does when a container reaches them."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nodeagent.runtime.cgroups import detect_here
from nodeagent.runtime.interface import (
    UNLIMITED,
    ContainerState,
    MemoryInUse,
    Resources,
    SandboxConfig,
)
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

MIB = 1 << 20
FOREVER = "while :; do sleep 1; done"
EAT_MEMORY = "dd if=/dev/zero of=/dev/null bs=100M count=1; exit $?"
"""In one read, which a slow machine does fast too; by a child of the shell."""
LIMITS = Resources(
    cpu_shares=512,
    cpu_quota_us=50_000,
    memory_limit_bytes=64 * MIB,
    memory_request_bytes=32 * MIB,
    pids_limit=20,
    oom_score_adj=1000,
)
ON_V1 = {
    "cpu.shares": "512",
    "cpu.cfs_quota_us": "50000",
    "cpu.cfs_period_us": "100000",
    "memory.limit_in_bytes": str(64 * MIB),
    "memory.memsw.limit_in_bytes": str(64 * MIB),
    "memory.soft_limit_in_bytes": str(32 * MIB),
    "pids.max": "20",
}
ON_V2 = {
    "cpu.weight": "20",
    "cpu.max": "50000 100000",
    "memory.max": str(64 * MIB),
    "memory.swap.max": "0",
    "memory.low": str(32 * MIB),
    "pids.max": "20",
}
FILES = ON_V2 if detect_here().is_v2 else ON_V1
MEMORY_LIMIT = "memory.max" if detect_here().is_v2 else "memory.limit_in_bytes"
CPU_QUOTA = "cpu.max" if detect_here().is_v2 else "cpu.cfs_quota_us"
V1_MEMORY_MAX = (1 << 63) - os.sysconf("SC_PAGE_SIZE")
V2_PROMISED = {"memory.min": 16 * MIB, "memory.high": 48 * MIB}
PROMISED = V2_PROMISED if detect_here().is_v2 else {"memory.soft_limit_in_bytes": 16 * MIB}
OWN_OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj").read_text()


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("resources") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


async def start(node: Node, sandbox: SandboxConfig, script: str, **changes: object) -> str:
    await node.runtime.run_pod_sandbox(sandbox)
    return await node.start(shell(sandbox, node.image, script, **changes))


@pytest.mark.parametrize("file", FILES)
async def test_a_containers_limits_are_the_cgroups(node: Node, file: str) -> None:
    sandbox = node.lab.sandbox()
    container_id = await start(node, sandbox, FOREVER, resources=LIMITS)
    assert node.lab.cgroup_file(sandbox, file, container_id) == FILES[file]


@pytest.mark.parametrize("file", FILES)
async def test_a_pods_limits_are_the_cgroups(node: Node, file: str) -> None:
    sandbox = node.lab.sandbox(resources=LIMITS)
    await node.runtime.run_pod_sandbox(sandbox)
    assert node.lab.cgroup_file(sandbox, file) == FILES[file]


async def test_the_oom_score_is_set_and_clamped(node: Node) -> None:
    own = OWN_OOM_SCORE_ADJ
    container_id = await start(node, node.lab.sandbox(), FOREVER, resources=LIMITS)
    result = await node.runtime.exec_sync(container_id, ["cat", "/proc/1/oom_score_adj"], STEP_TIMEOUT_S)
    assert result.output == b"1000\n"
    protected = await start(node, node.lab.sandbox(), FOREVER, resources=Resources(oom_score_adj=-997))
    result = await node.runtime.exec_sync(protected, ["cat", "/proc/1/oom_score_adj"], STEP_TIMEOUT_S)
    assert result.output.decode() in ("-997\n", own)


async def test_too_much_memory_is_told_apart_from_a_kill(node: Node) -> None:
    eater = await start(node, node.lab.sandbox(), f"exec sh -c '{EAT_MEMORY}'", resources=LIMITS)
    status = await node.end(eater)
    assert status.oom_killed
    assert status.exit_code != 0
    killed = await start(node, node.lab.sandbox(), FOREVER, resources=LIMITS)
    await node.runtime.stop_container(killed, grace_s=0)
    status = await node.end(killed)
    assert (status.exit_code, status.oom_killed) == (137, False)


async def test_the_pods_limit_kills_too_and_the_container_says_so(node: Node) -> None:
    sandbox = node.lab.sandbox(resources=Resources(memory_limit_bytes=32 * MIB))
    status = await node.end(await start(node, sandbox, EAT_MEMORY))
    assert status.oom_killed


async def test_a_fork_bomb_ends_at_the_limit(node: Node) -> None:
    script = "for i in $(seq 100); do sleep 100 & done; echo unreached"
    sandbox = node.lab.sandbox()
    container_id = await start(node, sandbox, script, resources=Resources(pids_limit=10))
    status = await node.end(container_id)
    assert status.exit_code != 0
    assert "unreached" not in node.lab.log(sandbox)


async def test_limits_change_while_it_runs(node: Node) -> None:
    sandbox = node.lab.sandbox()
    container_id = await start(node, sandbox, FOREVER, resources=LIMITS)
    pid = node.pid(container_id)
    for limit in (128 * MIB, 48 * MIB):
        await node.runtime.update_container_resources(container_id, Resources(memory_limit_bytes=limit, pids_limit=30))
        assert node.lab.cgroup_file(sandbox, MEMORY_LIMIT, container_id) == str(limit)
        assert node.lab.cgroup_file(sandbox, "pids.max", container_id) == "30"
    assert (await node.runtime.container_status(container_id)).state == ContainerState.RUNNING
    assert node.pid(container_id) == pid
    os.kill(pid, 0)


async def test_a_limit_that_the_kernel_takes_long_to_set_holds_up_nobody(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await node.pod()
    main = await start(node, sandbox, FOREVER)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(path: str, resources: Resources) -> None:
        begun.set()
        assert go_on.wait(STEP_TIMEOUT_S)

    monkeypatch.setattr(node.lab.cgroups, "apply", slowly)
    change = Resources(memory_limit_bytes=32 * MIB)
    for update in (
        node.runtime.update_container_resources(main, change),
        node.runtime.update_pod_resources(sandbox.pod_uid, change),
    ):
        async with asyncio.TaskGroup() as tasks:
            updating = tasks.create_task(update)
            while not begun.is_set():  # noqa: ASYNC110 - set in another thread
                await asyncio.sleep(0)
            assert not updating.done()
            go_on.set()
        begun.clear()
        go_on.clear()


async def test_memory_is_never_shrunk_below_use(node: Node) -> None:
    sandbox = node.lab.sandbox()
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; echo full; sleep 1000"
    container_id = await start(node, sandbox, script, resources=LIMITS)
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while node.lab.log(sandbox) != "full":  # noqa: ASYNC110 - a log file sends no event
            await asyncio.sleep(0.01)
    for update, subject in (
        (node.runtime.update_container_resources, container_id),
        (node.runtime.update_pod_resources, sandbox.pod_uid),
    ):
        with pytest.raises(MemoryInUse, match="memory"):
            await update(subject, Resources(memory_limit_bytes=16 * MIB))
    assert node.lab.cgroup_file(sandbox, MEMORY_LIMIT, container_id) == str(64 * MIB)
    assert (await node.runtime.container_status(container_id)).state == ContainerState.RUNNING


async def test_a_pods_limits_change_by_running_it_again(node: Node) -> None:
    sandbox = node.lab.sandbox(resources=Resources(pids_limit=20))
    await node.runtime.run_pod_sandbox(sandbox)
    changed = SandboxConfig(
        **{f: getattr(sandbox, f) for f in sandbox.__slots__} | {"resources": Resources(pids_limit=40)}
    )
    await node.runtime.run_pod_sandbox(changed)
    assert node.lab.cgroup_file(sandbox, "pids.max") == "40"
    assert len(await node.runtime.list_pod_sandboxes()) == 1


def sized(cpu_quota_us: int, memory_mib: int) -> Resources:
    return Resources(cpu_quota_us=cpu_quota_us, memory_limit_bytes=memory_mib * MIB)


async def test_a_pod_grows_before_its_container_and_shrinks_after_it(node: Node) -> None:
    sandbox = node.lab.sandbox(resources=sized(50_000, 64))
    container_id = await start(node, sandbox, FOREVER, resources=sized(50_000, 64))
    pid = node.pid(container_id)
    for quota, memory in ((100_000, 128), (200_000, 256)):
        await node.runtime.update_pod_resources(sandbox.pod_uid, sized(quota, memory))
        await node.runtime.update_container_resources(container_id, sized(quota, memory))
    for quota, memory in ((100_000, 128), (50_000, 48)):
        await node.runtime.update_container_resources(container_id, sized(quota, memory))
        await node.runtime.update_pod_resources(sandbox.pod_uid, sized(quota, memory))
    for of in (container_id, ""):
        assert node.lab.cgroup_file(sandbox, MEMORY_LIMIT, of) == str(48 * MIB)
        assert node.lab.cgroup_file(sandbox, CPU_QUOTA, of) == FILES[CPU_QUOTA]
    assert node.pid(container_id) == pid
    os.kill(pid, 0)


async def test_a_limit_can_be_taken_away(node: Node) -> None:
    sandbox = node.lab.sandbox(resources=LIMITS)
    container_id = await start(node, sandbox, FOREVER, resources=LIMITS)
    unlimited = Resources(memory_limit_bytes=UNLIMITED, cpu_quota_us=UNLIMITED, pids_limit=UNLIMITED)
    await node.runtime.update_pod_resources(sandbox.pod_uid, unlimited)
    await node.runtime.update_container_resources(container_id, unlimited)
    for of in (container_id, ""):
        assert node.lab.cgroup_file(sandbox, "pids.max", of) == "max"
        assert node.lab.cgroup_file(sandbox, CPU_QUOTA, of) in ("-1", "max 100000")
        assert node.lab.cgroup_file(sandbox, MEMORY_LIMIT, of) in ("max", str(V1_MEMORY_MAX))


async def test_changed_limits_of_a_pod_outlive_the_agent(node: Node) -> None:
    sandbox = await node.pod(resources=LIMITS)
    await node.runtime.update_pod_resources(sandbox.pod_uid, Resources(pids_limit=77))
    async with node.lab.runtime() as second:
        await second.update_pod_resources(sandbox.pod_uid, Resources(cpu_shares=100))
    assert node.lab.cgroup_file(sandbox, "pids.max") == "77"


async def test_memory_that_is_promised_is_in_the_cgroup(node: Node) -> None:
    promised = Resources(memory_min_bytes=16 * MIB, memory_high_bytes=48 * MIB, memory_limit_bytes=64 * MIB)
    sandbox = node.lab.sandbox(resources=promised)
    container_id = await start(node, sandbox, FOREVER, resources=promised)
    for of in (container_id, ""):
        for file, value in PROMISED.items():
            assert node.lab.cgroup_file(sandbox, file, of) == str(value)
