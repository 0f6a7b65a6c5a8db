"""`orch port-forward`, `attach` and `cp` against a real API server; the node's end is a process on this machine."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controlplane.apiserver.streams import AttachRequest, Channel, ExecRequest, Frame
from tests.apiserver import RunningServer, memory_server
from tests.integration.test_apiserver_streams import BIG, POD, exchange
from tests.kubectl import newest
from tests.unit.controlplane.apiserver.fakes import FakeStreams

WAIT_S = 30


class LocalExec:
    """A command of this machine in the place of a container's."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def send(self, frame: Frame) -> None:
        assert self._process.stdin is not None
        if frame.channel is Channel.STDIN:
            self._process.stdin.write(frame.data)
            await self._process.stdin.drain()
        elif frame.channel is Channel.CLOSE:
            self._process.stdin.close()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        while data := await self._process.stdout.read(65536):
            yield Frame(Channel.STDOUT, data)
        yield Frame(Channel.STDERR, await self._process.stderr.read())
        code = await self._process.wait()
        status = (
            b'{"status":"Success"}'
            if not code
            else b'{"status":"Failure","reason":"NonZeroExitCode","message":"it failed","details":{"causes":[{"reason":'
            b'"ExitCode","message":"%d"}]}}' % code
        )
        yield Frame(Channel.ERROR, status)


class LocalStreams(FakeStreams):
    @asynccontextmanager
    async def exec(self, node: str, request: ExecRequest | AttachRequest) -> AsyncIterator[LocalExec]:
        command = request.command if isinstance(request, ExecRequest) else ("cat",)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            yield LocalExec(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    attach = exec


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    streams = LocalStreams()
    async with memory_server(tmp_path, streams) as running:
        await newest().run(running.kubeconfig, "create", "-f", "-", stdin=POD)
        echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
        streams.ports = {80: echo.sockets[0].getsockname()[1]}
        yield running
        echo.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def orch(running: RunningServer, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orch.cli.main", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"KUBECONFIG": str(running.kubeconfig)},
    )
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out, err.decode()


async def test_port_forward(running: RunningServer) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orch.cli.main", "port-forward", "web", ":80", ":99"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"KUBECONFIG": str(running.kubeconfig)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WAIT_S):
            lines = [(await process.stdout.readline()).decode() for _ in range(2)]
            port, refusing = (int(line.split()[2].rpartition(":")[2]) for line in lines)
            assert await exchange(port, b"hello") == b"hello"
            async with asyncio.TaskGroup() as group:
                many = [group.create_task(exchange(port, b"%d" % n + BIG)) for n in range(5)]
            assert [task.result() == b"%d" % n + BIG for n, task in enumerate(many)] == [True] * 5
            assert await exchange(refusing, b"") == b""
            assert b"error forwarding port 99 to pod web" in await process.stderr.readline()
    finally:
        process.terminate()
        await process.communicate()


async def test_attach_and_exec_carry_much_both_ways(running: RunningServer) -> None:
    assert await orch(running, "attach", "-i", "web", stdin=BIG) == (0, BIG, "")
    assert await orch(running, "exec", "-i", "web", "--", "cat", stdin=BIG) == (0, BIG, "")
    code, _, err = await orch(running, "exec", "web", "--", "sh", "-c", "echo no >&2; exit 126")
    assert (code, err) == (126, "no\n")


async def test_cp_both_ways(running: RunningServer, tmp_path: Path) -> None:
    source, pod = tmp_path / "source", tmp_path / "pod"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "big").write_bytes(BIG)
    (source / "empty").touch()
    (source / "link").symlink_to("inner/big")
    pod.mkdir()
    assert await orch(running, "cp", str(source), f"web:{pod}/copied") == (0, b"", "")
    assert (pod / "copied" / "inner" / "big").read_bytes() == BIG
    assert await orch(running, "cp", str(source / "empty"), f"default/web:{pod}") == (0, b"", "")
    assert (pod / "empty").exists()
    back = tmp_path / "back"
    assert await orch(running, "cp", f"web:{pod}/copied", str(back)) == (0, b"", "")
    assert (back / "inner" / "big").read_bytes() == BIG
    assert os.readlink(back / "link") == "inner/big"
    assert await orch(running, "cp", f"web:{pod}/copied/inner/big", str(back)) == (0, b"", "")
    assert (back / "big").read_bytes() == BIG


async def test_cp_of_what_is_not_there(running: RunningServer, tmp_path: Path) -> None:
    code, _, err = await orch(running, "cp", f"web:{tmp_path}/nothing", str(tmp_path / "x"))
    assert code == 1
    assert "tar in the container ended with exit code" in err
    code, _, err = await orch(running, "cp", str(tmp_path / "nothing"), "web:/tmp/x")
    assert code == 3
    code, _, err = await orch(running, "cp", str(running.kubeconfig), f"web:{tmp_path}/no/such/folder")
    assert code == 1
    assert "tar in the container ended with exit code" in err
