"""Pods with a user namespace of their own (hostUsers: false), from inside and from the host's side."""

import asyncio
import ctypes
import os
import re
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.runtime import namespaces, syscalls, user_namespace
from nodeagent.runtime.interface import ContainerState, Mount, Resources, RuntimeFault, SandboxConfig, Security
from nodeagent.runtime.user_namespace import FIRST_BASE, IDS_PER_POD
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

SYS_SETFSUID, SYS_SETFSGID = (122, 123) if os.uname().machine == "x86_64" else (151, 152)
FOREVER = "while :; do sleep 1; done"


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("userns") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


@pytest.fixture(params=["crun", "runc"])
async def sandbox(request: pytest.FixtureRequest, node: Node) -> SandboxConfig:
    return await node.pod(
        host_users=False, runtime_handler=request.param, sysctls={"net.ipv4.ip_unprivileged_port_start": "7"}
    )


def read(path: Path) -> str:
    return path.read_text()


def in_ids(identity: int, work: Callable[[], None]) -> None:
    """As a process of that user sees it: a thread has ids, and so rights over files, of its own."""

    def body() -> None:
        libc = ctypes.CDLL(None)
        libc.syscall(SYS_SETFSGID, identity)
        libc.syscall(SYS_SETFSUID, identity)
        work()

    syscalls.in_throwaway_thread(body)


def base(node: Node, container_id: str) -> int:
    """The host's id of the container's root, by the kernel's account."""
    inside, outside, size = Path(f"/proc/{node.pid(container_id)}/uid_map").read_text().split()
    assert (inside, size) == ("0", str(IDS_PER_POD))
    return int(outside)


async def test_root_inside_is_nobody_outside(node: Node, sandbox: SandboxConfig) -> None:
    resources = Resources(memory_limit_bytes=64 << 20, pids_limit=20, oom_score_adj=1000)
    config = shell(sandbox, node.image, "id -u; exec sleep 1000", resources=resources)
    container_id = await node.start(config)
    assert base(node, container_id) >= FIRST_BASE
    assert os.stat(f"/proc/{node.pid(container_id)}").st_uid == base(node, container_id)
    assert await node.inside(container_id, "id", "-u") == "0\n"
    assert await node.inside(container_id, "hostname") == f"{sandbox.hostname}\n"
    assert await node.inside(container_id, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start") == "7\n"
    mounted = await node.inside(container_id, "cat", "/proc/mounts")
    for kind in ("proc", "sysfs", "mqueue", "devpts"):
        assert f" {kind} " in mounted


async def test_the_image_belongs_to_it_and_can_be_written(node: Node, sandbox: SandboxConfig) -> None:
    change = "echo more >> /etc/passwd; chown 5:6 /etc/passwd; touch /dev/shm/x; echo done > /done"
    container_id = await node.start(shell(sandbox, node.image, f"ls -ln /etc/passwd; {change}; {FOREVER}"))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while "done" not in await node.inside(container_id, "ls", "/"):  # noqa: ASYNC110 - the file sends no event
            await asyncio.sleep(0.02)
    assert re.search(r" 0 +0 +", node.lab.log(sandbox)), "the image's files are root's"
    assert (await node.inside(container_id, "tail", "-n", "1", "/etc/passwd")) == "more\n"
    upper = os.stat(f"{node.lab.state_dir}/containers/{container_id}/upper/etc/passwd")
    assert (upper.st_uid, upper.st_gid) == (base(node, container_id) + 5, base(node, container_id) + 6)
    assert os.stat(f"{node.image.layer_paths[0]}/etc/passwd").st_uid == 0


async def test_a_volume_keeps_the_ids_of_the_pod_on_disk(node: Node, sandbox: SandboxConfig, tmp_path: Path) -> None:
    folder, file = tmp_path / "volume", tmp_path / "hosts"
    folder.mkdir(mode=0o700)
    file.write_text("127.0.0.1 localhost\n")
    mounts = (Mount(str(folder), "/data"), Mount(str(file), "/etc/hosts", read_only=True))
    script = "echo hello > /data/file; chown 1000:2000 /data/file; cat /etc/hosts; echo x >> /etc/hosts"
    output = await node.output(script, sandbox, mounts=mounts)
    assert "127.0.0.1 localhost" in output
    found = os.stat(folder / "file")
    assert (found.st_uid, found.st_gid) == (1000, 2000)
    assert read(file) == "127.0.0.1 localhost\n"


async def test_pods_have_distinct_ranges_that_outlive_the_agent(node: Node) -> None:
    first, second = await node.pod(host_users=False), await node.pod(host_users=False)
    one, two = [await node.start(shell(pod, node.image, FOREVER)) for pod in (first, second)]
    assert abs(base(node, one) - base(node, two)) >= IDS_PER_POD
    async with node.lab.runtime() as after:
        third = await after.create_container(shell(first, node.image, FOREVER, name="other"))
        await after.start_container(third)
        assert base(node, third) == base(node, one)
        fourth = replace(node.lab.sandbox(), host_users=False)
        await after.run_pod_sandbox(fourth)
        await after.remove_pod_sandbox(fourth.pod_uid)
        await after.remove_container(third)


async def test_another_pods_volume_cannot_be_read_even_by_root(node: Node, tmp_path: Path) -> None:
    """Its files are its own ids' on the host."""
    victim, attacker = await node.pod(host_users=False), await node.pod(host_users=False)
    container_id = await node.start(shell(victim, node.image, f"umask 077; echo secret > /secret; {FOREVER}"))
    secret = f"{node.lab.state_dir}/containers/{container_id}/upper/secret"
    other = await node.start(shell(attacker, node.image, FOREVER))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while "secret" not in await node.inside(container_id, "ls", "/"):  # noqa: ASYNC110 - the file sends no event
            await asyncio.sleep(0.02)
    assert os.stat(secret).st_uid == base(node, container_id)
    with pytest.raises(PermissionError):
        in_ids(base(node, other), lambda: open(secret).close())


async def test_terminals_exec_attach_and_privileged_work_in_it(node: Node, sandbox: SandboxConfig) -> None:
    config = shell(sandbox, node.image, FOREVER, tty=True, stdin=True, security=Security(privileged=True))
    container_id = await node.start(config)
    async with node.runtime.exec(container_id, ["/bin/sh"], tty=True, stdin=True) as session:
        await session.write_stdin(b"tty; exit 3\n")
        said = b"".join([data async for _, data in session.output()])
        assert (b"/dev/pts/" in said, await session.wait()) == (True, 3)
    async with node.runtime.attach(container_id, stdin=True):
        pass


def block_devices() -> list[Path]:
    return [path for path in Path("/dev").iterdir() if path.is_block_device()]


async def test_privileged_in_it_is_no_way_to_the_machines_devices(node: Node, sandbox: SandboxConfig) -> None:
    """Only to those that anybody may use: its root is nobody on the host."""
    container_id = await node.start(shell(sandbox, node.image, FOREVER, security=Security(privileged=True)))
    assert block_devices(), "else this shows nothing"
    assert await node.inside(container_id, "find", "/dev", "-type", "b") == ""
    found = set((await node.inside(container_id, "find", "/dev", "-type", "c")).split())
    assert {"/dev/null", "/dev/zero"} <= found
    at_the_host = {path for path in found if not path.startswith("/dev/pts/") and path != "/dev/console"}
    assert {path for path in at_the_host if os.stat(path).st_mode & 0o006 != 0o006} == set()


async def test_one_pid_namespace_for_the_pod(node: Node) -> None:
    sandbox = await node.pod(host_users=False, share_process_namespace=True)
    output = await node.output("ps -o pid,args", sandbox)
    assert "/pause" in output


async def test_the_hosts_network_and_a_user_namespace_do_not_go_together(node: Node) -> None:
    with pytest.raises(RuntimeFault, match="hostUsers"):
        await node.pod(host_users=False, host_network=True)


async def test_a_named_user_of_the_image_is_that_user_inside(node: Node, sandbox: SandboxConfig) -> None:
    container_id = await node.start(shell(sandbox, node.image, FOREVER, security=Security(username="web")))
    assert await node.inside(container_id, "id", "-u") == "1000\n"
    assert (await node.runtime.container_status(container_id)).state == ContainerState.RUNNING


def test_an_agent_with_many_open_files_makes_user_namespaces() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    try:
        with ExitStack() as held:
            for _ in range(1_100):
                held.enter_context(open(os.devnull))
            with user_namespace.made(("uts",), FIRST_BASE) as pid:
                assert read(Path(f"/proc/{pid}/uid_map")).split() == ["0", str(FIRST_BASE), str(IDS_PER_POD)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_the_agent_goes_on_while_a_user_namespace_is_made(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, pin = set[int](), namespaces.pin

    def seen(folder: str, config: SandboxConfig, id_base: int) -> None:
        threads.add(threading.get_ident())
        pin(folder, config, id_base)

    monkeypatch.setattr(namespaces, "pin", seen)
    await node.pod(host_users=False)
    assert threads
    assert threading.get_ident() not in threads
