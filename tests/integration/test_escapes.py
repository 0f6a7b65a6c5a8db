"""Ways out of an ordinary container: root inside, all settings as they come. All are held, and a neighbour pod's
service goes on answering.

The attempts themselves are in escape_attempts.py, which runs inside; what needs two pods, or a limit, is here.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from nodeagent.network.node_links import NodeNetworkConfig
from nodeagent.network.node_network import NodeNetwork
from nodeagent.runtime.interface import (
    ContainerConfig,
    Image,
    Mount,
    PortMapping,
    Resources,
    RuntimeFault,
    SandboxConfig,
)
from orch.api.meta import ObjectMeta
from orch.api.node import Node as NodeObject
from orch.api.node import NodeSpec
from tests.images import busybox_layer, layer
from tests.integration.netlab import LoopInNetns, Netns, lab, serve_tcp
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

NODE_ADDRESS, NEIGHBOUR_PORT = "192.168.77.1", 80
CONFIG = NodeNetworkConfig(
    "node-1",
    IPv4Address(NODE_ADDRESS),
    IPv4Network("10.244.0.0/16"),
    IPv4Network("10.96.0.0/16"),
    IPv4Address("10.96.0.10"),
)
ATTEMPTS = Path(__file__).with_name("escape_attempts.py")
FOREVER = "while :; do sleep 1; done"


class BridgedNetwork:
    """The node's network, whose event loop runs inside the node's namespace, as a PodNetwork on the test's loop."""

    def __init__(self, node: Netns, run_dir: Path) -> None:
        self._loop = LoopInNetns(node)
        self._network = self._loop.call(self._start(run_dir))
        self._end = self._loop.background(self._network.run())

    async def _start(self, run_dir: Path) -> NodeNetwork:
        network = NodeNetwork(CONFIG, run_dir, upstreams=[], on_applied=lambda revision: None)
        await network.start()
        spec = NodeSpec(pod_cidr="10.244.1.0/24")
        network.apply_snapshot([NodeObject(metadata=ObjectMeta(name="node-1"), spec=spec)])
        return network

    async def attach(self, pod_uid: str, netns_path: str, ports: Sequence[PortMapping]) -> str:
        return await asyncio.wrap_future(self._loop.start(self._network.attach(pod_uid, netns_path, ports)))

    async def detach(self, pod_uid: str) -> None:
        await asyncio.wrap_future(self._loop.start(self._network.detach(pod_uid)))

    def close(self) -> None:
        self._end()
        self._network.close()
        self._loop.stop()


@dataclass
class World:
    runtime: RuntimeLab
    netns: Netns
    network: BridgedNetwork


@dataclass
class Victim:
    """A pod that serves, and its neighbour's target."""

    netns: Netns
    sandbox: SandboxConfig
    container_id: str
    address: str

    def answers(self) -> bool:
        return "served" in http_get(self.netns, self.address)


def http_get(source: Netns, address: str) -> str:
    import socket

    def talk() -> str:
        with socket.create_connection((address, NEIGHBOUR_PORT), 3) as connection:
            connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode()

    return source.call(talk)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with runtime_lab("escapes") as runtime, lab("esc") as net:
        netns = net.node(1)
        network = BridgedNetwork(netns, tmp_path_factory.mktemp("net"))
        runtime.network = network  # type: ignore[assignment]
        try:
            yield World(runtime, netns, network)
        finally:
            network.close()


@pytest.fixture
async def node(world: World) -> AsyncIterator[Node]:
    async with running_node(world.runtime) as made:
        yield made


@pytest.fixture
async def victim(world: World, node: Node) -> Victim:
    sandbox = world.runtime.sandbox()
    status = await node.runtime.run_pod_sandbox(sandbox)
    script = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www"
    container_id = await node.start(shell(sandbox, node.image, script))
    found = Victim(world.netns, sandbox, container_id, status.ip)
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while not await asyncio.to_thread(lambda: serving(found)):  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.05)
    return found


def serving(victim: Victim) -> bool:
    try:
        return victim.answers()
    except OSError:
        return False


async def interpreter(node: Node) -> Image:
    """An image in which the machine's own interpreter runs, once it is mounted."""
    links: dict[str, bytes | str | None] = {"lib": "usr/lib", "lib64": "usr/lib64", "escape.py": ATTEMPTS.read_bytes()}
    return await node.lab.images.find("interpreter:1") or await node.lab.load(
        "interpreter:1", [busybox_layer(), layer(links)]
    )


INTERPRETER_MOUNTS = tuple(
    Mount(path, path, read_only=True) for path in dict.fromkeys(("/usr", str(Path(sys.base_prefix))))
)


@contextmanager
def marker() -> Iterator[str]:
    path = Path(f"/var/tmp/orch-escape-marker-{os.getpid()}")
    path.write_text("the host's")
    yield str(path)
    path.unlink()


async def attempted(node: Node, victim: Victim, **changes: object) -> dict[str, str]:
    """What the attempts say, made by a container of another pod than the victim's."""
    image = await interpreter(node)
    python = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
    with marker() as path:
        command = (python, "/escape.py", path, str(node.pid(victim.container_id)))
        sandbox = await node.pod(**changes)
        config = ContainerConfig(
            sandbox.pod_uid, "main", 0, image.id, command=command, mounts=INTERPRETER_MOUNTS, log_path="main/0.log"
        )
        await node.end(await node.start(config))
        said = node.lab.log(sandbox)
    assert said.startswith("{"), said
    found: dict[str, str] = json.loads(said)
    return found


async def test_all_known_ways_out_are_closed(node: Node, victim: Victim) -> None:
    found = await attempted(node, victim)
    assert len(found) > 60
    assert {name: got for name, got in found.items() if got} == {}
    assert await asyncio.to_thread(victim.answers)


@pytest.mark.parametrize("handler", ["crun", "runc"])
@pytest.mark.parametrize("descriptor", range(3, 12))
async def test_no_directory_of_the_host_is_left_open_as_a_way_in(node: Node, handler: str, descriptor: int) -> None:
    """As the working directory of a container (CVE-2024-21626)."""
    sandbox = await node.pod(runtime_handler=handler)
    with marker() as path:
        script = f"cat ../../../../../..{path}"
        config = shell(sandbox, node.image, script, working_dir=f"/proc/self/fd/{descriptor}")
        try:
            await node.end(await node.start(config))
        except RuntimeFault:
            return
        assert "the host's" not in node.lab.log(sandbox)


async def test_what_a_pod_writes_into_its_image_no_other_sees(node: Node) -> None:
    """Not by a write, a link, a rename or a change of owner, on the layers or in another container."""
    layers = [Path(path) for path in node.image.layer_paths]
    before = {path: path.stat().st_mtime_ns for folder in layers for path in folder.rglob("*") if not path.is_symlink()}
    script = (
        "echo evil > /etc/passwd; ln /bin/busybox /bin/x; mv /etc/group /etc/g; chown 7:7 /bin; chmod 777 /bin/busybox"
    )
    await node.output(f"{script}; dd if=/dev/zero of=/bin/busybox bs=1 count=4 conv=notrunc")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "evil" not in await node.output("cat /etc/passwd /etc/group; /bin/busybox true && echo works")


async def test_a_fork_bomb_stays_in_its_pod(node: Node, victim: Victim) -> None:
    """Also one whose containers have no limit of their own: the pod's counts."""
    sandbox = await node.pod(resources=Resources(pids_limit=64))
    bomb = await node.start(shell(sandbox, node.image, "b() { b | b & }; while :; do b 2> /dev/null; done"))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while int(node.lab.cgroup_file(sandbox, "pids.events", bomb).split()[-1]) == 0:  # noqa: ASYNC110 - no event on v1
            await asyncio.sleep(0.05)
    assert int(node.lab.cgroup_file(sandbox, "pids.current")) <= 64
    assert await asyncio.to_thread(victim.answers)
    await node.runtime.stop_container(bomb, grace_s=0)
    assert await node.inside(victim.container_id, "echo", "fine") == "fine\n"


async def test_memory_without_end_kills_only_the_one_who_asked(node: Node, victim: Victim) -> None:
    """Also memory that it has as files: /dev/shm and /dev are charged to it."""
    limits = Resources(memory_limit_bytes=32 << 20)
    for script in ("tail -f /dev/zero", "dd if=/dev/zero of=/dev/shm/x bs=1M; dd if=/dev/zero of=/dev/x bs=1M"):
        sandbox = await node.pod()
        greedy = await node.start(shell(sandbox, node.image, f"{script}; sleep 0.1", resources=limits))
        status = await node.end(greedy)
        assert status.oom_killed
    assert await asyncio.to_thread(victim.answers)
    assert (await node.runtime.container_status(victim.container_id)).finished_at is None


async def test_a_pod_finds_no_door_of_the_nodes(node: Node, victim: Victim) -> None:
    """What listens on the node's loopback, and sockets in its files."""
    sandbox = await node.pod()
    script = (
        "for p in 127.0.0.1 169.254.1.1 192.168.77.1; do nc -w 1 $p 7001 < /dev/null && echo OPEN; done; ls /run 2>&1"
    )
    with serve_tcp(victim.netns, "127.0.0.1", 7001, "secret"):
        said = await node.output(script, sandbox)
    assert "OPEN" not in said
    assert "secret" not in said
    assert ".sock" not in said
