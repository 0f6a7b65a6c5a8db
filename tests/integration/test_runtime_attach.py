"""Attaching to running containers: input, terminals, stdinOnce, and readers that stand still."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from nodeagent.runtime import attach
from nodeagent.runtime.interface import ContainerState, ExecSession, RuntimeFault
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

UNTIL_TOLD = "while read word; do echo got $word; echo err $word >&2; done; echo end"
FLOOD = "while read word; do dd if=/dev/zero bs=65536 count=64 2>/dev/null; done"


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("attach") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


async def start(node: Node, script: str, **changes: object) -> str:
    return await node.start(shell(await node.pod(), node.image, script, stdin=True, **changes))


async def collect(session: ExecSession) -> dict[int, bytes]:
    streams = {1: b"", 2: b""}
    async with asyncio.timeout(STEP_TIMEOUT_S):
        async for stream, data in session.output():
            streams[stream] += data
    return streams


async def drained(output: AsyncIterator[tuple[int, bytes]]) -> None:
    async for _ in output:
        continue


async def until_said(session: ExecSession, text: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(STEP_TIMEOUT_S):
        async for _, data in session.output():
            said += data
            if text in said:
                return said
    raise AssertionError(f"it ended and had said {said!r}")


async def state(node: Node, container_id: str) -> ContainerState:
    return (await node.runtime.container_status(container_id)).state


async def test_streams_are_told_apart_and_all_attached_get_them(node: Node) -> None:
    container_id = await start(node, UNTIL_TOLD, stdin_once=True)
    async with (
        node.runtime.attach(container_id, stdin=True) as writer,
        node.runtime.attach(container_id, stdin=False) as reader,
    ):
        await writer.write_stdin(b"one\ntwo\n")
        await writer.close_stdin()
        expected = {1: b"got one\ngot two\nend\n", 2: b"err one\nerr two\n"}
        assert [await collect(writer), await collect(reader)] == [expected, expected]
        assert await writer.wait() == 0


async def test_a_large_input_arrives_whole(node: Node) -> None:
    container_id = await start(node, "wc -c", stdin_once=True)
    async with node.runtime.attach(container_id, stdin=True) as session:
        await session.write_stdin(b"x" * 3_000_000)
        await session.close_stdin()
        assert (await collect(session))[1].split() == [b"3000000"]


async def test_without_stdin_once_the_input_outlives_who_attached(node: Node) -> None:
    container_id = await start(node, UNTIL_TOLD)
    for word in (b"one", b"two"):
        async with node.runtime.attach(container_id, stdin=True) as session:
            await session.write_stdin(word + b"\n")
            await until_said(session, b"got " + word)
            await session.close_stdin()
    assert await state(node, container_id) == ContainerState.RUNNING


async def test_with_stdin_once_leaving_ends_the_input(node: Node) -> None:
    container_id = await start(node, UNTIL_TOLD, stdin_once=True)
    async with node.runtime.attach(container_id, stdin=True) as session:
        await session.write_stdin(b"one\n")
    assert (await node.end(container_id)).exit_code == 0


async def test_whoever_leaves_before_the_answer_ends_the_input_too(node: Node) -> None:
    """The monitor stands still until there is both an answer to write and the end of the input to read."""
    script = "read word; sleep 0.3; echo got $word; while read word; do :; done"
    container_id = await start(node, script, stdin_once=True)
    monitor = int(node.lab.container_file(container_id, "conmon.pid"))
    async with node.runtime.attach(container_id, stdin=True) as session:
        await session.write_stdin(b"one\n")
        await asyncio.sleep(0.1)
        os.kill(monitor, signal.SIGSTOP)
        await asyncio.sleep(0.4)
        asyncio.get_running_loop().call_later(0.2, os.kill, monitor, signal.SIGCONT)
    assert (await node.end(container_id)).exit_code == 0


async def test_with_stdin_once_who_only_watched_ends_nothing(node: Node) -> None:
    container_id = await start(node, UNTIL_TOLD, stdin_once=True)
    for _ in range(3):
        async with node.runtime.attach(container_id, stdin=False):
            pass
    await asyncio.sleep(0.2)
    async with node.runtime.attach(container_id, stdin=True) as session:
        await session.write_stdin(b"one\n")
        await until_said(session, b"got one")
    assert (await node.end(container_id)).exit_code == 0


async def test_a_terminal_has_the_size_that_was_told(node: Node) -> None:
    container_id = await start(node, "read word; stty size; tty; read word; exit 4", tty=True)
    async with node.runtime.attach(container_id, stdin=True) as session:
        await session.resize(columns=132, rows=40)
        await asyncio.sleep(0.2)
        await session.write_stdin(b"\n")
        assert b"40 132" in await until_said(session, b"/dev/pts/")
        await session.write_stdin(b"\n")
        assert await session.wait() == 4


async def test_a_reader_that_stands_still_is_cut_off_and_the_container_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "STALL_MAX_S", 0.5)
    container_id = await start(node, FLOOD)
    async with (
        node.runtime.attach(container_id, stdin=True) as still,
        node.runtime.attach(container_id, stdin=True) as lively,
    ):
        await lively.write_stdin(b"go\n")
        output = still.output()
        await anext(output)
        await asyncio.sleep(1)
        received = 0
        async with asyncio.timeout(STEP_TIMEOUT_S):
            async for _, data in lively.output():
                received += len(data)
                if received >= 64 * 65536:
                    break
        with pytest.raises(RuntimeFault, match="took nothing"):
            await asyncio.wait_for(drained(output), STEP_TIMEOUT_S)
    assert await state(node, container_id) == ContainerState.RUNNING


async def test_leaving_while_a_task_waits_for_output_watches_nobody_elses_file(node: Node) -> None:
    """The number of the connection goes to the next file opened."""
    container_id = await start(node, UNTIL_TOLD)
    async with node.runtime.attach(container_id, stdin=True) as session:
        waiting = asyncio.get_running_loop().create_task(collect(session))
        await asyncio.sleep(0.05)
    another = node.runtime.exec_sync(container_id, ["true"], STEP_TIMEOUT_S)
    waiting.cancel()
    assert (await another).exit_code == 0
