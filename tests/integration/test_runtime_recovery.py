"""Crashes: the agent's at every step of a pod's life, the monitor's, the OCI runtime's, and a reboot."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from nodeagent.runtime import syscalls
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerState,
    Image,
    RuntimeFault,
    SandboxConfig,
    SandboxState,
)
from nodeagent.runtime.runtime import CrunRuntime
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell
from tests.unit.orch.kit.test_trees import made_deep

FOREVER = "while :; do sleep 1; done"
STEPS = frozenset({
    "mkdir", "rename", "unlink", "rmdir", "open", "write", "mount", "unmount", "unshare", "start", "wait", "add_reader",
    "kill", "setxattr",
})  # fmt: skip
"""Functions that change something outside of the process; a crash is tried before each call of one."""


@pytest.fixture
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("recovery") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


@dataclass
class Pod:
    """A pod's whole life, as the verbs of the runtime."""

    lab: RuntimeLab
    sandbox: SandboxConfig
    container: ContainerConfig

    async def start(self, runtime: CrunRuntime) -> str:
        await runtime.run_pod_sandbox(self.sandbox)
        container_id = await runtime.create_container(self.container)
        await runtime.start_container(container_id)
        return container_id

    async def live(self, runtime: CrunRuntime) -> None:
        await self.start(runtime)
        await self.stop(runtime)

    async def stop(self, runtime: CrunRuntime) -> None:
        for status in await runtime.list_containers():
            await runtime.stop_container(status.id, grace_s=0)
            await runtime.remove_container(status.id)
        await runtime.stop_pod_sandbox(self.sandbox.pod_uid)
        await runtime.remove_pod_sandbox(self.sandbox.pod_uid)


def in_agent(lab: RuntimeLab, work: Callable[[CrunRuntime], Awaitable[object]], crash_before_step: int = -1) -> int:
    """Runs `work` in a process of its own, an agent that is SIGKILLed before its n-th step. Returns how many steps it
    took; -1 when it was killed."""
    read_end, write_end = os.pipe()
    if (child := os.fork()) == 0:
        gc.freeze()  # it would collect what gRPC left here, and wait in vain for a thread of the parent's
        try:
            os.write(write_end, str(_agent(lab, work, crash_before_step)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as report:
        return int(report.read() or -1)


def _agent(lab: RuntimeLab, work: Callable[[CrunRuntime], Awaitable[object]], crash_before_step: int) -> int:
    steps = 0

    def count(frame: FrameType, event: str, function: Any) -> None:
        nonlocal steps
        name = function.__name__ if event == "c_call" else frame.f_code.co_name
        if event in ("call", "c_call") and name in STEPS:
            if steps == crash_before_step:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1

    async def body() -> None:
        async with lab.runtime() as runtime:
            sys.setprofile(count)
            await work(runtime)
            sys.setprofile(None)

    asyncio.set_event_loop(None)
    asyncio.run(body())
    return steps


def pod(lab: RuntimeLab, image: Image) -> Pod:
    sandbox = lab.sandbox(share_process_namespace=lab.pods % 4 == 3)
    return Pod(lab, sandbox, shell(sandbox, image, FOREVER))


def test_the_crash_that_these_tests_rest_on_does_happen(lab: RuntimeLab) -> None:
    crashed = pod(lab, asyncio.run(lab.busybox()))
    assert in_agent(lab, crashed.start, 20) == -1


def points(steps: int) -> range:
    """Every one with ORCH_TEST_EVERY_STEP=1; else a spread of them. Pods differ by a few steps (a pause, a seccomp
    filter to compile), so the last ones may lie behind a pod's end."""
    return range(0, steps, 1 if os.environ.get("ORCH_TEST_EVERY_STEP") else max(1, steps // 20))


def test_a_crash_at_any_step_of_the_start_is_made_good_by_starting_again(lab: RuntimeLab) -> None:
    image = asyncio.run(lab.busybox())

    async def finish(started: Pod) -> None:
        async with lab.runtime() as runtime:
            container_id = await started.start(runtime)
            [status] = await runtime.list_containers()
            assert (status.id, status.state) == (container_id, ContainerState.RUNNING)
            await until(lambda: running(lab) == 1)
            await started.stop(runtime)
        assert lab.leftovers() == []

    measured = pod(lab, image)
    steps = in_agent(lab, measured.start)
    assert steps > 20
    asyncio.run(finish(measured))
    for step in points(steps):
        crashed = pod(lab, image)
        in_agent(lab, crashed.start, step)
        asyncio.run(finish(crashed))


def test_a_crash_at_any_step_of_the_start_is_cleared_away_by_removing_the_pod(lab: RuntimeLab) -> None:
    image = asyncio.run(lab.busybox())

    async def remove(crashed: Pod) -> None:
        async with lab.runtime() as runtime:
            await runtime.remove_pod_sandbox(crashed.sandbox.pod_uid)
        assert lab.leftovers() == []

    measured = pod(lab, image)
    steps = in_agent(lab, measured.start)
    asyncio.run(remove(measured))
    for step in points(steps):
        crashed = pod(lab, image)
        in_agent(lab, crashed.start, step)
        asyncio.run(remove(crashed))


def test_a_crash_at_any_step_of_the_stop_is_made_good_by_stopping_again(lab: RuntimeLab) -> None:
    image = asyncio.run(lab.busybox())

    async def finish(stopped: Pod) -> None:
        async with lab.runtime() as runtime:
            await stopped.stop(runtime)
        assert lab.leftovers() == []

    measured = pod(lab, image)
    in_agent(lab, measured.start)
    steps = in_agent(lab, measured.stop)
    assert steps > 20
    for step in points(steps):
        crashed = pod(lab, image)
        in_agent(lab, crashed.start)
        in_agent(lab, crashed.stop, step)
        asyncio.run(finish(crashed))


def running(lab: RuntimeLab) -> int:
    """How often the pod's command runs, by the kernel's account."""
    commands = [read(f"/proc/{pid}/cmdline").replace("\0", " ") for pid in lab.cgroups.processes(lab.cgroup_root)]
    return sum(FOREVER in command for command in commands)


def read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while not holds():  # noqa: ASYNC110 - the kernel's side sends no event
            await asyncio.sleep(0.01)


async def test_a_new_agent_adopts_what_runs(lab: RuntimeLab) -> None:
    image = await lab.busybox()
    sandbox = lab.sandbox()
    script = "trap 'echo bye; exit 4' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"
    async with lab.runtime() as first:
        before = await first.run_pod_sandbox(sandbox)
        container_id = await Node(lab, first, image).start(shell(sandbox, image, script))
        running = await first.container_status(container_id)
    async with lab.runtime() as second:
        assert await second.list_pod_sandboxes() == [before]
        assert await second.list_containers() == [running]
        assert await second.create_container(shell(sandbox, image, script)) == container_id
        await second.start_container(container_id)
        assert (await second.exec_sync(container_id, ["echo", "here"], STEP_TIMEOUT_S)).output == b"here\n"
        await second.stop_container(container_id, grace_s=STEP_TIMEOUT_S)
        assert (await second.container_status(container_id)).exit_code == 4
        lines = lab.log(sandbox).splitlines()
        assert lines == [str(n + 1) for n in range(len(lines) - 1)] + ["bye"]
        await second.remove_pod_sandbox(sandbox.pod_uid)
    assert lab.leftovers() == []


def test_what_a_killed_agent_ran_in_a_container_ends_with_the_next_agent(lab: RuntimeLab) -> None:
    """What began it, a hook for instance, begins it again: it must not run twice."""
    crashed = pod(lab, asyncio.run(lab.busybox()))

    def commands() -> int:
        found = [read(f"/proc/{pid}/cmdline") for pid in lab.cgroups.processes(lab.cgroup_root)]
        return sum("1234" in command for command in found)

    async def run_and_crash(runtime: CrunRuntime) -> None:
        container_id = await crashed.start(runtime)
        async with runtime.exec(container_id, ["sh", "-c", "sleep 1234; :"], tty=False, stdin=False):
            await until(lambda: commands() == 2)
            await until(lambda: bool(list(Path(lab.run_dir, "exec").glob("*/pid"))))
            os.kill(os.getpid(), signal.SIGKILL)

    async def look() -> None:
        async with lab.runtime() as runtime:
            await until(lambda: commands() == 0)
            assert running(lab) == 1
            await crashed.stop(runtime)

    assert in_agent(lab, run_and_crash) == -1
    assert commands() == 2
    asyncio.run(look())
    assert lab.leftovers() == []


def test_an_agent_starts_whatever_lies_in_the_folders_of_containers(lab: RuntimeLab) -> None:
    deep = made_deep(Path(lab.state_dir, "containers/unknown"))
    half_made = made_deep(Path(lab.run_dir, "containers/half-made"))
    pinned = Path(lab.state_dir, "containers/pinned")
    (pinned / "mounted").mkdir(parents=True)
    syscalls.mount("tmpfs", str(pinned / "mounted"), "tmpfs")
    try:
        assert in_agent(lab, nothing) >= 0
        assert not deep.exists()
        assert not half_made.exists()
        assert pinned.exists()
    finally:
        syscalls.unmount(str(pinned / "mounted"))


async def nothing(runtime: CrunRuntime) -> None:
    assert await runtime.list_containers() == []


async def test_an_end_while_no_agent_looked_is_listed_and_is_no_news(lab: RuntimeLab) -> None:
    image = await lab.busybox()
    sandbox = lab.sandbox()
    async with lab.runtime() as first:
        await first.run_pod_sandbox(sandbox)
        container_id = await Node(lab, first, image).start(shell(sandbox, image, "sleep 0.3; exit 9"))
    await until(lambda: not lab.cgroups.processes(lab.cgroup_root))
    async with lab.runtime() as second:
        [status] = await second.list_containers()
        assert (status.id, status.state, status.exit_code) == (container_id, ContainerState.EXITED, 9)
        assert status.finished_at is not None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(second.exits()), 0.2)
        await second.remove_pod_sandbox(sandbox.pod_uid)
    assert lab.leftovers() == []


async def test_a_killed_monitor_is_noticed_and_its_container_ended(node: Node) -> None:
    sandbox = await node.pod()
    container_id = await node.start(shell(sandbox, node.image, FOREVER))
    os.kill(int(node.lab.container_file(container_id, "conmon.pid")), signal.SIGKILL)
    status = await node.end(container_id)
    assert (status.state, status.exit_code, status.oom_killed) == (ContainerState.UNKNOWN, 137, False)
    await until(lambda: running(node.lab) == 0)


def script(lab: RuntimeLab, body: str) -> str:
    path = Path(lab.state_dir, "script")
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("verb", ["create", "start", "delete"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_killed_oci_runtime_leaves_a_verb_that_can_be_repeated(lab: RuntimeLab, verb: str, moment: str) -> None:
    image = await lab.busybox()
    sandbox = lab.sandbox()
    real = '/usr/bin/crun "$@"; ' if moment == "after" else ""
    killed = script(lab, f'case " $* " in *" {verb} "*) {real}kill -9 $$;; *) exec /usr/bin/crun "$@";; esac')
    started = Pod(lab, sandbox, shell(sandbox, image, FOREVER))
    async with lab.runtime(handlers={"crun": killed}) as runtime:
        if (verb, moment) in (("start", "after"), ("delete", "after")):
            await started.live(runtime)  # it had done its work, as the runtime sees
        else:
            with pytest.raises(RuntimeFault):
                await started.live(runtime)
    async with lab.runtime() as runtime:
        if verb != "delete":
            await started.start(runtime)
            [status] = await runtime.list_containers()
            assert status.state == ContainerState.RUNNING
        await started.stop(runtime)
    assert lab.leftovers() == []


async def test_a_cancelled_verb_leaves_nothing_that_removal_does_not_find(node: Node) -> None:
    for delay_ms in range(0, 24, 3):
        sandbox = await node.pod()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(node.start(shell(sandbox, node.image, FOREVER)), delay_ms / 1000)
        await node.runtime.remove_pod_sandbox(sandbox.pod_uid)
        assert node.lab.leftovers() == []


async def test_after_a_reboot_nothing_is_claimed_to_run(lab: RuntimeLab) -> None:
    """The machine forgets processes, mounts and cgroups; the folders stay when the run folder is no tmpfs."""
    image = await lab.busybox()
    sandbox = lab.sandbox()
    async with lab.runtime() as before:
        await before.run_pod_sandbox(sandbox)
        container_id = await Node(lab, before, image).start(shell(sandbox, image, FOREVER))
        await before.stop_container(container_id, grace_s=0)
    for line in reversed(read("/proc/self/mountinfo").splitlines()):
        if (point := line.split()[4]).startswith(f"{lab.run_dir}/"):
            syscalls.unmount(point)
    lab.cgroups.remove(lab.cgroup_root)
    syscalls.write_file(f"{lab.run_dir}/boot-id", b"another boot")
    async with lab.runtime() as after:
        assert await after.list_pod_sandboxes() == []
        assert await after.list_containers() == []
        status = await after.run_pod_sandbox(sandbox)
        assert status.state == SandboxState.READY
        await after.remove_pod_sandbox(sandbox.pod_uid)
    assert lab.leftovers() == []
