"""How containers end, terminals of their own, and the agent's mount namespace."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from nodeagent.runtime.interface import ContainerConfig
from nodeagent.runtime.mount_namespace import prepare_mount_namespace
from tests.images import busybox_layer
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("lifecycle") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


async def test_the_images_stop_signal_is_sent(node: Node) -> None:
    trap = "trap 'echo INT; exit 2' INT; trap 'echo TERM; exit 15' TERM; echo ready; while :; do sleep 0.05; done"
    image = await node.lab.load("stops:1", [busybox_layer()], StopSignal="SIGINT", Cmd=["/bin/sh", "-c", trap])
    sandbox = await node.pod()
    container_id = await node.start(ContainerConfig(sandbox.pod_uid, "main", 0, image.id, log_path="main/0.log"))
    await node.inside(container_id, "sleep", "0.1")
    await node.runtime.stop_container(container_id, grace_s=STEP_TIMEOUT_S)
    assert (await node.runtime.container_status(container_id)).exit_code == 2
    assert node.lab.log(sandbox) == "ready\nINT"


async def test_a_kill_takes_all_processes_of_the_container(node: Node) -> None:
    sandbox = await node.pod()
    script = "trap '' TERM; setsid sleep 5000 & setsid sleep 6000 & while :; do sleep 1; done"
    container_id = await node.start(shell(sandbox, node.image, script))
    await node.runtime.stop_container(container_id, grace_s=0.1)
    assert node.lab.cgroups.processes(f"{node.lab.cgroup_root}/{sandbox.cgroup_parent}") == set()


async def test_a_container_may_have_a_terminal(node: Node) -> None:
    sandbox = await node.pod()
    text = await node.output("test -t 0 && test -t 1 && echo terminal; echo $TERM", sandbox, tty=True, stdin=True)
    assert [line.rstrip("\r") for line in text.splitlines()] == ["terminal", "xterm"]


async def test_a_directory_of_the_image_that_is_missing_is_made(node: Node) -> None:
    assert await node.output("pwd", working_dir="/made/for/it") == "/made/for/it"


async def test_many_pods_at_once(node: Node) -> None:
    sandboxes = [await node.pod() for _ in range(10)]
    for number, sandbox in enumerate(sandboxes):
        await node.start(shell(sandbox, node.image, f"exit {number}"))
    statuses = [await node.end(status.id) for status in await node.runtime.list_containers()]
    assert sorted(status.exit_code for status in statuses) == list(range(10))


def test_preparing_twice_mounts_once(lab: RuntimeLab) -> None:
    before = len(open_mounts())
    assert not prepare_mount_namespace().is_hybrid
    assert len(open_mounts()) == before
    assert os.path.isdir(lab.run_dir)


def open_mounts() -> list[str]:
    with open("/proc/self/mountinfo") as file:
        return file.readlines()
