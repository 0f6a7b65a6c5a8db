"""Container logs: the CRI format, long lines, and rotation without loss."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from nodeagent.runtime.interface import NoSuchContainer, SandboxConfig
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

LINE = re.compile(r"(\S+) (stdout|stderr) ([PF]) (.*)")


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("logs") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


def entries(sandbox: SandboxConfig, name: str = "0.log") -> list[tuple[str, str, str]]:
    """(stream, P or F, text) of each line; each has a time."""
    found = []
    for line in Path(sandbox.log_directory, "main", name).read_text().splitlines():
        matched = LINE.fullmatch(line)
        assert matched, line
        assert datetime.fromisoformat(matched[1]).utcoffset() is not None
        found.append((matched[2], matched[3], matched[4]))
    return found


async def test_lines_carry_time_and_stream(node: Node) -> None:
    sandbox = await node.pod()
    await node.output("echo out; echo err >&2; echo; printf unfinished", sandbox)
    assert sorted(entries(sandbox)) == [
        ("stderr", "F", "err"),
        ("stdout", "F", ""),
        ("stdout", "F", "out"),
        ("stdout", "P", "unfinished"),
    ]


async def test_a_long_line_comes_in_parts(node: Node) -> None:
    sandbox = await node.pod()
    await node.output("head -c 20000 /dev/zero | tr '\\0' x; echo", sandbox)
    parts = entries(sandbox)
    assert "".join(text for _, _, text in parts) == "x" * 20_000
    assert [tag for _, tag, _ in parts][-1] == "F"
    assert {tag for _, tag, _ in parts[:-1]} == {"P"}


async def test_rotation_loses_and_repeats_nothing(node: Node) -> None:
    sandbox = await node.pod()
    script = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; sleep 0.3; echo last"
    container_id = await node.start(shell(sandbox, node.image, script))
    folder = f"{sandbox.log_directory}/main"
    for rotation in range(3):
        await asyncio.sleep(0.01)
        os.rename(f"{folder}/0.log", f"{folder}/0.log.{rotation}")
        await node.runtime.reopen_container_log(container_id)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            while "0.log" not in os.listdir(folder):  # noqa: ASYNC110 - the monitor reopens on its own time
                await asyncio.sleep(0.001)
    await node.end(container_id)
    parts = [entry for name in ("0.log.0", "0.log.1", "0.log.2", "0.log") for entry in entries(sandbox, name)]
    text = "".join(text if tag == "P" else f"{text}\n" for _, tag, text in parts)  # a read may end within a line
    assert text.splitlines() == [*map(str, range(2000)), "last"]


async def test_logs_outlive_the_container_and_go_with_the_pod(node: Node) -> None:
    sandbox = await node.pod()
    config = shell(sandbox, node.image, "echo said")
    container_id = await node.start(config)
    await node.end(container_id)
    await node.runtime.remove_container(container_id)
    assert node.lab.log(sandbox) == "said"
    with pytest.raises(NoSuchContainer):
        await node.runtime.reopen_container_log(container_id)
    await node.runtime.remove_pod_sandbox(sandbox.pod_uid)
    assert not os.access(sandbox.log_directory, os.F_OK)
