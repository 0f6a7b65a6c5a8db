"""A control plane's node side and agents with fake runtimes, joined by real gRPC on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from controlplane.nodeplane.join import Joiner
from controlplane.nodeplane.nodeplane import NodePlane
from controlplane.nodeplane.server import NodePlaneServer, ServerTls
from controlplane.nodeplane.settings import NodePlaneSettings
from controlplane.registry.assembly import RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.store.memory import MemoryBackend
from nodeagent.agent import Agent
from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.desired_state import DesiredState
from nodeagent.fake_parts import FakeNetwork, FakeProbes, FakeVolumes
from nodeagent.grpc_link import GrpcDialer
from nodeagent.identity import ensure_certificate
from nodeagent.node_status import Machine, node_object
from nodeagent.outbox import Outbox
from nodeagent.pod_parts import PodParts
from nodeagent.runtime.fake import FakeRuntime, Program
from nodeagent.runtime.fake_images import FakeImages
from nodeagent.runtime.interface import ContainerConfig
from nodeagent.static_pods import StaticPods
from orch.api.kind import Kind
from orch.api.kinds import PODS, builtin_kinds
from orch.api.meta import Object
from orch.api.node import Node
from orch.api.pod.spec import Pod
from orch.client.client import Client, EventType
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from orch.pki import KeyPair, create_ca, issue
from tests.tokens import a_signer

T = TypeVar("T", bound=Object)

CLUSTER_ID = "a-cluster"
TOKEN = "a-join-token"
WAIT_S = 10.0
POLL_S = 0.01
MACHINE = Machine(
    cpus=2.0, memory_bytes=4 << 30, disk_bytes=50 << 30, boot_id="boot-1", machine_id="m", system_uuid="s",
    kernel="6.1", os_image="Debian", architecture="amd64",
)  # fmt: skip
ADMIN = User("orch-admin", ("system:masters",))
NODEPLANE = User("system:orch-nodeplane")


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Background tasks for the length of the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@dataclass
class ControlPlane:
    """Registry on the memory store and the nodeplane on loopback ports."""

    client: Client
    nodeplane: NodePlane
    server: NodePlaneServer
    ca: KeyPair
    backend: MemoryBackend = field(default_factory=MemoryBackend)

    @property
    def session_target(self) -> str:
        return f"127.0.0.1:{self.server.session_ports[0]}"

    @property
    def join_target(self) -> str:
        return f"127.0.0.1:{self.server.join_ports[0]}"


@asynccontextmanager
async def control_plane(
    backend: MemoryBackend | None = None, ca: KeyPair | None = None, session_port: int = 0, **settings: float
) -> AsyncIterator[ControlPlane]:
    clock, ids = SystemClock(), SystemIds()
    backend = backend or MemoryBackend()
    ca = ca or create_ca("test", now=clock.now())
    parts = build_api(backend, builtin_kinds(), clock, ids, RegistrySettings(), a_signer())
    nodeplane = NodePlane(
        LocalClient(parts.api, NODEPLANE, ids),
        clock,
        ids,
        NodePlaneSettings(cluster_id=CLUSTER_ID, **settings),
        parts.usage,
    )
    tls = ServerTls(issue(ca, "server", now=clock.now(), addresses=["127.0.0.1"]), ca.cert_pem)
    server = NodePlaneServer(
        nodeplane,
        Joiner(ca, TOKEN, clock),
        tls,
        cluster_id=CLUSTER_ID,
        session_binds=[f"127.0.0.1:{session_port}"],
        join_binds=["127.0.0.1:0"],
    )
    async with running(parts.run()):
        await parts.ready.wait()
        async with running(nodeplane.run(), server.run()):
            await server.started.wait()
            yield ControlPlane(LocalClient(parts.api, ADMIN, ids), nodeplane, server, ca, backend)


@dataclass
class FakeNode:
    """A machine: what survives the agent on it."""

    name: str
    folder: Path
    program: Callable[[ContainerConfig], Program] = lambda config: Program()
    probes: FakeProbes = field(default_factory=FakeProbes)
    volumes: FakeVolumes = field(default_factory=FakeVolumes)
    images: FakeImages = field(default_factory=FakeImages)
    static_folder: Path | None = None

    def __post_init__(self) -> None:
        self.runtime = FakeRuntime(SystemClock(), self.program)
        self.network = FakeNetwork(lambda revision: None)

    async def run_agent(self, session_target: str, join_target: str, ca_pem: bytes, token: str = TOKEN) -> None:
        clock, ids = SystemClock(), SystemIds()
        certificate = await ensure_certificate(self.folder / "pki", self.name, join_target, ca_pem, token, clock)
        desired = DesiredState(self.folder / "state", self.folder / "run")
        outbox = Outbox(self.name, desired, clock)
        parts = PodParts(
            runtime=self.runtime,
            images=self.images,
            volumes=self.volumes,
            probes=self.probes,
            inputs=desired,
            reports=outbox,
            clock=clock,
            node=NodeFacts(self.name, "192.168.0.1", {"cpu": "2", "memory": "4Gi"}, MACHINE.memory_bytes),
            allocations=Allocations({"cpu": "2", "memory": "4Gi"}, self.folder / "state"),
            pod_logs=self.folder / "logs",
        )
        self.network = FakeNetwork(outbox.network_applied)
        agent = Agent(
            node_name=self.name,
            boot_id=MACHINE.boot_id,
            version="test",
            dial=GrpcDialer(session_target, certificate),
            desired=desired,
            outbox=outbox,
            parts=parts,
            network=self.network,
            describe=self._describe,
            ids=ids,
            static_pods=StaticPods(self.static_folder, self.name),
            refuse=lambda pod: None,
        )
        await agent.run()

    async def join(self, plane: ControlPlane) -> GrpcDialer:
        """A dialer with the certificate that joining gave."""
        folder, clock = self.folder / "pki", SystemClock()
        certificate = await ensure_certificate(folder, self.name, plane.join_target, plane.ca.cert_pem, TOKEN, clock)
        return GrpcDialer(plane.session_target, certificate)

    def _describe(self, not_ready: str) -> Node:
        return node_object(self.name, "192.168.0.1", MACHINE, not_ready=not_ready, runtime="fake://1")

    def agent_of(self, plane: ControlPlane) -> Coroutine[Any, Any, None]:
        return self.run_agent(plane.session_target, plane.join_target, plane.ca.cert_pem)


async def until(
    client: Client, kind: Kind[T], name: str, namespace: str, holds: Callable[[T | None], bool]
) -> T | None:
    """The object's first state for which `holds` (None: it does not exist); fails after `WAIT_S`."""
    seen: T | None = None
    try:
        async with asyncio.timeout(WAIT_S):
            page = await client.list(kind, namespace, field_selector=f"metadata.name={name}")
            seen = page.items[0] if page.items else None
            if holds(seen):
                return seen
            watch = client.watch(
                kind, namespace, field_selector=f"metadata.name={name}", resource_version=page.resource_version
            )
            async with watch as events:
                async for event in events:
                    if event.type is EventType.BOOKMARK:
                        continue
                    seen = None if event.type is EventType.DELETED else event.obj
                    if holds(seen):
                        return seen
    except TimeoutError:
        status = getattr(seen, "status", seen)
        raise AssertionError(f"{kind.kind} {namespace}/{name} did not get there; last seen: {status}") from None
    raise AssertionError("the watch ended")


async def eventually(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """For what no watch tells; fails after `WAIT_S`."""
    for _ in range(int(WAIT_S / POLL_S)):
        held = holds()
        if held is True or (held is not False and await held):
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError("it did not come to that")


def phase_is(phase: str) -> Callable[[Pod | None], bool]:
    return lambda pod: pod is not None and pod.status.phase == phase


def is_gone(obj: object | None) -> bool:
    return obj is None


def node_ready_is(status: str) -> Callable[[Node | None], bool]:
    return lambda node: (
        node is not None and any(c.type == "Ready" and c.status == status for c in node.status.conditions or ())
    )


async def pod_on(node: str, client: Client, pod: Pod) -> Pod:
    """Created with its node named, as a manifest may do."""
    return await client.create(PODS, replace(pod, spec=replace(pod.spec, node_name=node)))
