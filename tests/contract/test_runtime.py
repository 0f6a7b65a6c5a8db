"""What every container runtime does: one suite over the Runtime Protocol, run against each implementation.

A harness brings the runtime and says how to make a container that does something; everything else goes through the
Protocol's verbs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Protocol

import pytest

from nodeagent.runtime.fake import FakeRuntime, Program
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerExited,
    ContainerState,
    ContainerStatus,
    ExecSession,
    NoSuchContainer,
    PortRefused,
    Resources,
    Runtime,
    RuntimeFault,
    SandboxConfig,
    SandboxState,
)
from orch.kit.clock import SystemClock
from tests.runtime_lab import RuntimeLab, runtime_lab

STEP_TIMEOUT_S = 20
PORT = 7007


class Harness(Protocol):
    """A runtime, and containers whose behaviour is known."""

    @property
    def runtime(self) -> Runtime: ...

    def sandbox(self) -> SandboxConfig: ...

    def sleeper(self, sandbox: SandboxConfig, attempt: int = 0) -> ContainerConfig:
        """Runs until it is told to stop, then ends with exit code 143, as SIGTERM does."""

    def stubborn(self, sandbox: SandboxConfig) -> ContainerConfig:
        """Runs and ignores its stop signal."""

    def exiting(self, sandbox: SandboxConfig, exit_code: int) -> ContainerConfig:
        """Ends by itself soon after its start."""

    def echoing(self, sandbox: SandboxConfig) -> ContainerConfig:
        """Gives its input back as output."""

    def serving(self, sandbox: SandboxConfig) -> ContainerConfig:
        """Takes TCP connections on PORT and gives back what it gets."""


class OciHarness:
    def __init__(self, lab: RuntimeLab, runtime: Runtime, image_id: str) -> None:
        self._lab, self._runtime, self._image_id = lab, runtime, image_id

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    def sandbox(self) -> SandboxConfig:
        return self._lab.sandbox()

    def sleeper(self, sandbox: SandboxConfig, attempt: int = 0) -> ContainerConfig:
        return self._shell(sandbox, "trap 'exit 143' TERM; while :; do sleep 0.05; done", attempt)

    def stubborn(self, sandbox: SandboxConfig) -> ContainerConfig:
        return self._shell(sandbox, "trap '' TERM; while :; do sleep 0.05; done")

    def exiting(self, sandbox: SandboxConfig, exit_code: int) -> ContainerConfig:
        return self._shell(sandbox, f"exit {exit_code}")

    def echoing(self, sandbox: SandboxConfig) -> ContainerConfig:
        return replace(self._shell(sandbox, "exec cat"), stdin=True)

    def serving(self, sandbox: SandboxConfig) -> ContainerConfig:
        return self._shell(sandbox, f"exec nc -ll -p {PORT} -e cat")

    def _shell(self, sandbox: SandboxConfig, script: str, attempt: int = 0) -> ContainerConfig:
        return ContainerConfig(
            pod_uid=sandbox.pod_uid,
            name="main",
            attempt=attempt,
            image_id=self._image_id,
            command=("/bin/sh", "-c", script),
            log_path=f"main/{attempt}.log",
        )


class FakeHarness:
    def __init__(self) -> None:
        self._runtime = FakeRuntime(SystemClock(), _program)
        self._pods = 0

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    def sandbox(self) -> SandboxConfig:
        self._pods += 1
        uid = f"pod-{self._pods}"
        return SandboxConfig(uid, "default", uid, uid, cgroup_parent=uid, log_directory="")

    def sleeper(self, sandbox: SandboxConfig, attempt: int = 0) -> ContainerConfig:
        return ContainerConfig(sandbox.pod_uid, "main", attempt, "sha256:image", command=("sleeper",))

    def stubborn(self, sandbox: SandboxConfig) -> ContainerConfig:
        return ContainerConfig(sandbox.pod_uid, "main", 0, "sha256:image", command=("stubborn",))

    def exiting(self, sandbox: SandboxConfig, exit_code: int) -> ContainerConfig:
        return ContainerConfig(sandbox.pod_uid, "main", 0, "sha256:image", command=("exiting", str(exit_code)))

    def echoing(self, sandbox: SandboxConfig) -> ContainerConfig:
        return ContainerConfig(sandbox.pod_uid, "main", 0, "sha256:image", stdin=True)

    def serving(self, sandbox: SandboxConfig) -> ContainerConfig:
        return ContainerConfig(sandbox.pod_uid, "main", 0, "sha256:image", command=("serving",))


def _program(config: ContainerConfig) -> Program:
    match config.command:
        case ("exiting", exit_code):
            return Program(runs_s=0.01, exit_code=int(exit_code))
        case ("stubborn",):
            return Program(stop_s=STEP_TIMEOUT_S)
        case ("serving",):
            return Program(ports=(PORT,))
        case _:
            return Program()


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("contract") as made:
        yield made


@pytest.fixture(params=["fake", "crun", "runc"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "fake":
        yield FakeHarness()
        return
    lab: RuntimeLab = request.getfixturevalue("lab")
    image = await lab.busybox()
    async with lab.runtime(default_handler=request.param) as runtime:
        yield OciHarness(lab, runtime, image.id)
        for sandbox in await runtime.list_pod_sandboxes():
            await runtime.remove_pod_sandbox(sandbox.pod_uid)
    assert lab.leftovers() == []


async def started(harness: Harness, config: ContainerConfig) -> str:
    container_id = await harness.runtime.create_container(config)
    await harness.runtime.start_container(container_id)
    return container_id


async def ended(harness: Harness, container_id: str) -> ContainerStatus:
    """Waits for the news of its end."""
    async with asyncio.timeout(STEP_TIMEOUT_S):
        async for exited in harness.runtime.exits():
            if exited.container_id == container_id:
                break
    return await harness.runtime.container_status(container_id)


async def test_a_sandbox_is_ready_has_an_address_and_is_listed(harness: Harness) -> None:
    config = harness.sandbox()
    status = await harness.runtime.run_pod_sandbox(config)
    assert (status.pod_uid, status.namespace, status.name) == (config.pod_uid, config.namespace, config.name)
    assert status.state == SandboxState.READY
    assert status.ip
    assert await harness.runtime.list_pod_sandboxes() == [status]


async def test_running_a_sandbox_again_changes_nothing(harness: Harness) -> None:
    config = harness.sandbox()
    first = await harness.runtime.run_pod_sandbox(config)
    assert await harness.runtime.run_pod_sandbox(config) == first
    assert len(await harness.runtime.list_pod_sandboxes()) == 1


async def test_a_stopped_sandbox_is_not_ready_and_has_no_address(harness: Harness) -> None:
    config = harness.sandbox()
    await harness.runtime.run_pod_sandbox(config)
    await harness.runtime.stop_pod_sandbox(config.pod_uid)
    await harness.runtime.stop_pod_sandbox(config.pod_uid)
    [status] = await harness.runtime.list_pod_sandboxes()
    assert (status.state, status.ip) == (SandboxState.NOT_READY, "")


async def test_a_removed_sandbox_is_gone_and_may_be_removed_again(harness: Harness) -> None:
    config = harness.sandbox()
    await harness.runtime.run_pod_sandbox(config)
    await harness.runtime.remove_pod_sandbox(config.pod_uid)
    await harness.runtime.remove_pod_sandbox(config.pod_uid)
    await harness.runtime.stop_pod_sandbox(config.pod_uid)
    assert await harness.runtime.list_pod_sandboxes() == []


async def test_a_container_is_created_then_runs(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    config = harness.sleeper(sandbox)
    container_id = await harness.runtime.create_container(config)
    created = await harness.runtime.container_status(container_id)
    assert (created.state, created.started_at) == (ContainerState.CREATED, None)
    assert (created.name, created.attempt, created.pod_uid) == (config.name, config.attempt, config.pod_uid)
    assert created.image_id == config.image_id
    await harness.runtime.start_container(container_id)
    running = await harness.runtime.container_status(container_id)
    assert running.state == ContainerState.RUNNING
    assert running.started_at is not None
    assert running.started_at >= running.created_at
    assert await harness.runtime.list_containers() == [running]


async def test_creating_and_starting_again_changes_nothing(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    config = harness.sleeper(sandbox)
    container_id = await started(harness, config)
    before = await harness.runtime.container_status(container_id)
    assert await harness.runtime.create_container(config) == container_id
    await harness.runtime.start_container(container_id)
    assert await harness.runtime.list_containers() == [before]


async def test_an_end_is_pushed_with_its_exit_code(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.exiting(sandbox, 3))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        news = await anext(harness.runtime.exits())
    assert news == ContainerExited(sandbox.pod_uid, container_id)
    status = await harness.runtime.container_status(container_id)
    assert (status.state, status.exit_code, status.oom_killed) == (ContainerState.EXITED, 3, False)
    assert status.started_at is not None
    assert status.finished_at is not None
    assert status.finished_at >= status.started_at


async def test_starting_what_has_ended_does_not_run_it_twice(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.exiting(sandbox, 0))
    before = await ended(harness, container_id)
    await harness.runtime.start_container(container_id)
    assert await harness.runtime.container_status(container_id) == before


async def test_stop_lets_the_container_end_in_peace(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.sleeper(sandbox))
    await asyncio.sleep(0.1)
    await harness.runtime.stop_container(container_id, grace_s=STEP_TIMEOUT_S)
    status = await harness.runtime.container_status(container_id)
    assert (status.state, status.exit_code) == (ContainerState.EXITED, 143)
    await harness.runtime.stop_container(container_id, grace_s=STEP_TIMEOUT_S)


async def test_stop_kills_after_the_grace_period(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.stubborn(sandbox))
    await asyncio.sleep(0.1)
    await harness.runtime.stop_container(container_id, grace_s=0.2)
    status = await harness.runtime.container_status(container_id)
    assert (status.state, status.exit_code, status.oom_killed) == (ContainerState.EXITED, 137, False)


async def test_a_removed_container_is_gone_and_its_next_attempt_is_another(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    first = await started(harness, harness.sleeper(sandbox))
    await harness.runtime.remove_container(first)
    await harness.runtime.remove_container(first)
    with pytest.raises(NoSuchContainer):
        await harness.runtime.container_status(first)
    with pytest.raises(NoSuchContainer):
        await harness.runtime.start_container(first)
    second = await started(harness, harness.sleeper(sandbox, attempt=1))
    assert second != first
    assert [status.attempt for status in await harness.runtime.list_containers()] == [1]


async def test_stopping_the_sandbox_kills_its_containers(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.sleeper(sandbox))
    await harness.runtime.stop_pod_sandbox(sandbox.pod_uid)
    status = await harness.runtime.container_status(container_id)
    assert (status.state, status.exit_code) == (ContainerState.EXITED, 137)


async def test_removing_the_sandbox_removes_its_containers(harness: Harness) -> None:
    sandbox, other = harness.sandbox(), harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    await harness.runtime.run_pod_sandbox(other)
    await started(harness, harness.sleeper(sandbox))
    kept = await started(harness, harness.sleeper(other))
    await harness.runtime.remove_pod_sandbox(sandbox.pod_uid)
    assert [status.id for status in await harness.runtime.list_containers()] == [kept]


async def test_no_container_without_a_ready_sandbox(harness: Harness) -> None:
    sandbox = harness.sandbox()
    with pytest.raises(RuntimeFault):
        await harness.runtime.create_container(harness.sleeper(sandbox))
    await harness.runtime.run_pod_sandbox(sandbox)
    await harness.runtime.stop_pod_sandbox(sandbox.pod_uid)
    with pytest.raises(RuntimeFault):
        await harness.runtime.create_container(harness.sleeper(sandbox))
    assert await harness.runtime.list_containers() == []


async def test_a_container_tells_what_its_image_is_called_in_the_spec(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await harness.runtime.create_container(replace(harness.sleeper(sandbox), image="app:1"))
    assert (await harness.runtime.container_status(container_id)).image == "app:1"


async def test_limits_of_a_running_container_change(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.sleeper(sandbox))
    before = await harness.runtime.container_status(container_id)
    await harness.runtime.update_container_resources(container_id, Resources(memory_limit_bytes=64 << 20))
    changed = replace(before.resources, memory_limit_bytes=64 << 20)
    assert await harness.runtime.container_status(container_id) == replace(before, resources=changed)
    with pytest.raises(NoSuchContainer):
        await harness.runtime.update_container_resources("unknown", Resources())


async def test_no_exec_in_what_does_not_run(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await harness.runtime.create_container(harness.sleeper(sandbox))
    with pytest.raises(RuntimeFault):
        await harness.runtime.exec_sync(container_id, ["true"], timeout_s=STEP_TIMEOUT_S)
    with pytest.raises(NoSuchContainer):
        await harness.runtime.exec_sync("unknown", ["true"], timeout_s=STEP_TIMEOUT_S)


async def said(session: ExecSession, length: int) -> bytes:
    """The next `length` bytes of its stdout, at least."""
    text = b""
    async with asyncio.timeout(STEP_TIMEOUT_S):
        output = session.output()
        while len(text) < length:
            _, data = await anext(output)
            text += data
    return text


async def test_all_who_are_attached_get_the_output_and_leaving_ends_nothing(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.echoing(sandbox))
    attach = harness.runtime.attach
    async with attach(container_id, stdin=True) as writer, attach(container_id, stdin=False) as reader:
        await writer.write_stdin(b"hello\n")
        await reader.write_stdin(b"unheard\n")
        assert await said(writer, 6) == await said(reader, 6) == b"hello\n"
    async with attach(container_id, stdin=True) as session:
        await session.write_stdin(b"again\n")
        assert await said(session, 6) == b"again\n"
    assert (await harness.runtime.container_status(container_id)).state == ContainerState.RUNNING


async def test_an_attached_session_ends_with_the_container(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    container_id = await started(harness, harness.echoing(sandbox))
    async with harness.runtime.attach(container_id, stdin=True) as session:
        await harness.runtime.stop_container(container_id, grace_s=0)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            assert [data async for _, data in session.output()] == []
            assert await session.wait() in (137, 143)
    with pytest.raises(RuntimeFault):
        async with harness.runtime.attach(container_id, stdin=False):
            pass


async def test_a_port_is_a_connection_whose_directions_end_apart(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    await started(harness, harness.serving(sandbox))
    await asyncio.sleep(0.3)
    async with harness.runtime.port_forward(sandbox.pod_uid, PORT) as connection, asyncio.timeout(STEP_TIMEOUT_S):
        await connection.write(b"ping")
        assert await connection.read() == b"ping"
        await connection.close_write()
        assert await connection.read() == b""


async def test_a_port_that_nobody_listens_on_is_refused(harness: Harness) -> None:
    sandbox = harness.sandbox()
    await harness.runtime.run_pod_sandbox(sandbox)
    with pytest.raises(PortRefused, match="7008"):
        async with harness.runtime.port_forward(sandbox.pod_uid, 7008):
            pass
    with pytest.raises(NoSuchContainer):
        async with harness.runtime.port_forward("unknown", PORT):
            pass


async def test_figures_are_of_what_runs(harness: Harness) -> None:
    sandbox, host = harness.sandbox(), replace(harness.sandbox(), host_network=True)
    for pod in (sandbox, host):
        await harness.runtime.run_pod_sandbox(pod)
    config = harness.sleeper(sandbox)
    container_id = await started(harness, config)
    await harness.runtime.create_container(harness.sleeper(host))
    [container] = await harness.runtime.container_stats()
    assert (container.container_id, container.pod_uid, container.name) == (container_id, sandbox.pod_uid, config.name)
    pods = {pod.pod_uid: pod for pod in await harness.runtime.pod_stats()}
    assert pods.keys() == {sandbox.pod_uid, host.pod_uid}
    assert pods[sandbox.pod_uid].network is not None
    assert pods[host.pod_uid].network is None
    assert (await harness.runtime.node_usage()).cpu_ns >= container.usage.cpu_ns
    assert {storage.container_id for storage in await harness.runtime.container_storage()} >= {container_id}


async def test_limits_of_a_pod_change(harness: Harness) -> None:
    sandbox = harness.sandbox()
    before = await harness.runtime.run_pod_sandbox(sandbox)
    await harness.runtime.update_pod_resources(sandbox.pod_uid, Resources(memory_limit_bytes=64 << 20))
    assert await harness.runtime.list_pod_sandboxes() == [before]
    with pytest.raises(NoSuchContainer):
        await harness.runtime.update_pod_resources("unknown", Resources())


async def test_pods_run_under_their_handler_and_an_unknown_one_is_refused(harness: Harness) -> None:
    for handler in ("", "crun", "runc"):
        sandbox = replace(harness.sandbox(), runtime_handler=handler)
        await harness.runtime.run_pod_sandbox(sandbox)
        container_id = await started(harness, harness.sleeper(sandbox))
        assert (await harness.runtime.container_status(container_id)).state == ContainerState.RUNNING
    with pytest.raises(RuntimeFault, match="kata"):
        await harness.runtime.run_pod_sandbox(replace(harness.sandbox(), runtime_handler="kata"))
