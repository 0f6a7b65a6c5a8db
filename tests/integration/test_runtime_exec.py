"""Commands in running containers: output, exit codes, stdin, terminals, and what happens when somebody leaves."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodeagent.runtime.interface import CommandNotStarted, ExecSession, RuntimeFault, Security
from nodeagent.runtime.runtime import EXEC_OUTPUT_BYTES_MAX, CrunRuntime
from tests.runtime_lab import RuntimeLab, runtime_lab, shell

STEP_TIMEOUT_S = 20
on_both = pytest.mark.parametrize("target", ["crun", "runc"], indirect=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("exec") as made:
        yield made


@dataclass
class Target:
    """A running container to run commands in."""

    lab: RuntimeLab
    runtime: CrunRuntime
    container_id: str

    async def run(self, *command: str) -> tuple[int, bytes]:
        result = await self.runtime.exec_sync(self.container_id, command, STEP_TIMEOUT_S)
        return result.exit_code, result.output

    async def until(self, command: str, *, runs: bool) -> None:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            while (command in self.commands()) != runs:  # noqa: ASYNC110 - the kernel sends no event for this
                await asyncio.sleep(0.01)

    def commands(self) -> list[str]:
        """What runs in the container, by the kernel's account."""
        cgroups = Path("/sys/fs/cgroup").glob(f"pids/{self.lab.cgroup_root}/**/{self.container_id}/cgroup.procs")
        cgroups_v2 = Path("/sys/fs/cgroup").glob(f"{self.lab.cgroup_root}/**/{self.container_id}/cgroup.procs")
        pids = [pid for path in (*cgroups, *cgroups_v2) for pid in path.read_text().split()]
        return [Path("/proc", pid, "cmdline").read_text().replace("\0", " ").strip() for pid in pids]


@pytest.fixture
async def target(lab: RuntimeLab, request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    """Under the handler that the test is parametrized with (`indirect`); else crun."""
    image = await lab.busybox()
    async with lab.runtime(default_handler=getattr(request, "param", "crun")) as runtime:
        sandbox = lab.sandbox()
        await runtime.run_pod_sandbox(sandbox)
        config = shell(
            sandbox, image, "while :; do sleep 1; done", env=(("COLOUR", "blue"),), security=Security(uid=1000)
        )
        container_id = await runtime.create_container(config)
        await runtime.start_container(container_id)
        yield Target(lab, runtime, container_id)
        await runtime.remove_pod_sandbox(sandbox.pod_uid)
    assert lab.leftovers() == []


async def collect(session: ExecSession) -> dict[int, bytes]:
    streams = {1: b"", 2: b""}
    async for stream, data in session.output():
        streams[stream] += data
    return streams


async def test_it_runs_as_the_container_does(target: Target) -> None:
    script = "echo $COLOUR; id -u; grep -E 'Seccomp:|CapEff' /proc/self/status"
    exit_code, output = await target.run("/bin/sh", "-c", script)
    assert exit_code == 0
    assert output.decode().split() == ["blue", "1000", "CapEff:", "0" * 16, "Seccomp:", "2"]


@on_both
async def test_exit_code_and_both_streams(target: Target) -> None:
    exit_code, output = await target.run("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert exit_code == 7
    assert sorted(output.split()) == [b"err", b"out"]


@pytest.mark.parametrize(
    ("command", "reason", "exit_code"),
    [
        ("nonexistent", r'exec: "nonexistent": executable file not found in \$PATH', 127),
        ("/bin/nonexistent", 'exec: "/bin/nonexistent": stat /bin/nonexistent: no such file or directory', 127),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied', 126),
    ],
)
@pytest.mark.parametrize("handler", ["crun", "runc"])
async def test_a_command_that_cannot_be_started_is_named_in_everybodys_words(
    target: Target, command: str, reason: str, exit_code: int, handler: str
) -> None:
    sandbox = target.lab.sandbox(runtime_handler=handler)
    await target.runtime.run_pod_sandbox(sandbox)
    image = await target.lab.busybox()
    container_id = await target.runtime.create_container(shell(sandbox, image, "sleep 1000"))
    await target.runtime.start_container(container_id)
    with pytest.raises(CommandNotStarted, match=f"OCI runtime exec failed: .*{reason}") as caught:
        await target.runtime.exec_sync(container_id, [command], STEP_TIMEOUT_S)
    assert caught.value.exit_code == exit_code
    await target.runtime.remove_pod_sandbox(sandbox.pod_uid)


async def test_long_output_is_cut_and_the_command_still_ends(target: Target) -> None:
    exit_code, output = await target.run("/bin/sh", "-c", "dd if=/dev/zero bs=1024 count=1024 2>/dev/null; exit 5")
    assert (exit_code, len(output)) == (5, EXEC_OUTPUT_BYTES_MAX)


async def test_a_command_too_slow_is_killed(target: Target) -> None:
    with pytest.raises(TimeoutError):
        await target.runtime.exec_sync(target.container_id, ["sleep", "1234"], timeout_s=0.3)
    await target.until("sleep 1234", runs=False)


async def test_a_daemon_left_behind_does_not_hold_the_session_open(target: Target) -> None:
    async with asyncio.timeout(STEP_TIMEOUT_S / 2):
        assert await target.run("/bin/sh", "-c", "sleep 60 & echo started") == (0, b"started\n")


async def test_many_at_once(target: Target) -> None:
    results = await asyncio.gather(*(target.run("/bin/sh", "-c", f"echo {n}; exit {n}") for n in range(8)))
    assert results == [(n, f"{n}\n".encode()) for n in range(8)]


@on_both
async def test_stdin_reaches_the_command_and_its_end_does_too(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["wc", "-c"], tty=False, stdin=True) as session:
        await session.write_stdin(b"x" * 300_000)
        await session.close_stdin()
        assert (await collect(session))[1].split() == [b"300000"]
        assert await session.wait() == 0


async def test_without_stdin_there_is_nothing_to_read(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["cat"], tty=False, stdin=False) as session:
        assert await collect(session) == {1: b"", 2: b""}
        assert await session.wait() == 0


async def test_streams_are_told_apart_and_nothing_is_lost(target: Target) -> None:
    script = "dd if=/dev/zero bs=65536 count=64 2>/dev/null; echo done >&2"
    async with target.runtime.exec(target.container_id, ["/bin/sh", "-c", script], tty=False, stdin=False) as session:
        streams = await collect(session)
        assert (len(streams[1]), streams[2]) == (64 * 65536, b"done\n")


async def test_writing_to_a_command_that_does_not_read_any_more(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["true"], tty=False, stdin=True) as session:
        assert await session.wait() == 0
        async with asyncio.timeout(STEP_TIMEOUT_S):
            await session.write_stdin(b"x" * 1_000_000)


@on_both
async def test_a_terminal_has_a_size_that_can_change(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["/bin/sh"], tty=True, stdin=True) as session:
        await session.resize(columns=132, rows=40)
        await session.write_stdin(b"tty; stty size\n")
        await session.resize(columns=100, rows=30)
        await session.write_stdin(b"stty size; exit 3\n")
        text = (await collect(session))[1].decode()
        assert await session.wait() == 3
    assert "/dev/pts/" in text
    assert "30 100" in text


@on_both
async def test_a_terminal_ends_with_its_input(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["cat"], tty=True, stdin=True) as session:
        await session.write_stdin(b"last line\n")
        await session.close_stdin()
        assert (await collect(session))[1].count(b"last line") == 2  # the terminal's echo, and cat
        assert await session.wait() == 0


@on_both
async def test_a_terminal_for_a_command_that_is_not_there(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["/bin/nonexistent"], tty=True, stdin=True) as session:
        await collect(session)
        with pytest.raises(RuntimeFault, match="nonexistent"):
            await session.wait()


@on_both
@pytest.mark.parametrize("tty", [False, True])
async def test_leaving_kills_the_command(target: Target, tty: bool) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    async with target.runtime.exec(target.container_id, ["sleep", "4321"], tty=tty, stdin=True):
        await target.until("sleep 4321", runs=True)
    await target.until("sleep 4321", runs=False)
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_the_end_of_the_container_ends_the_session(target: Target) -> None:
    async with target.runtime.exec(target.container_id, ["sleep", "60"], tty=False, stdin=False) as session:
        await asyncio.sleep(0.1)
        await target.runtime.stop_container(target.container_id, grace_s=0)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            await collect(session)
            assert await session.wait() != 0
