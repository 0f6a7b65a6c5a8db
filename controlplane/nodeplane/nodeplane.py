"""The nodeplane: which session each node has, what goes down it, and what becomes of what comes up. No transport.

`run` keeps the informers, writers and liveness going; `serve` carries one session, whoever brings the link. Sessions
wait until the informers have synced: an agent never sees a snapshot that lacks what exists.
"""

import asyncio
from functools import partial
from typing import Any

import structlog

from controlplane.nodeplane.event_writer import EventWriter
from controlplane.nodeplane.liveness import TICK_S, Liveness
from controlplane.nodeplane.mirror_pods import MirrorPods
from controlplane.nodeplane.node_leases import NodeLeases
from controlplane.nodeplane.node_set import DELIVERED_KINDS, EVERY_NODE, NodeSets
from controlplane.nodeplane.node_status_writer import LOST_REASON, NodeStatusWriter
from controlplane.nodeplane.pod_status_writer import PodReport, PodStatusWriter
from controlplane.nodeplane.pod_tokens import PodTokens
from controlplane.nodeplane.registration import Registrar
from controlplane.nodeplane.session import Link, LinkClosed, Session
from controlplane.nodeplane.settings import NodePlaneSettings
from controlplane.nodeplane.streams import Streams
from controlplane.nodeplane.usage_samples import sample_of
from controlplane.nodeplane.volume_writer import VolumeWriter
from controlplane.usage import UsageBoard
from orch.api.kind import Kind
from orch.api.kinds import EVENTS, NODES, PODS
from orch.api.node import Node
from orch.client.client import Client
from orch.client.informer import Informers
from orch.errors import BadRequest, ServiceUnavailable
from orch.kit.clock import Clock
from orch.kit.ids import Ids
from orch.kit.tasks import forever
from protos import node_pb2

log = structlog.get_logger(__name__)


class NodePlane:
    """Implements session.Inbound; a newer agent's fields that are not known are dropped. `streams` is the API server's
    NodeStreams."""

    def __init__(self, client: Client, clock: Clock, ids: Ids, settings: NodePlaneSettings, usage: UsageBoard) -> None:
        self._clock, self._settings, self._usage = clock, settings, usage
        self._informers = Informers(client)
        self._nodes = self._informers.of(NODES)
        self._sets = NodeSets()
        self._sessions: dict[str, Session] = {}
        self._liveness = Liveness(settings.node_lost_after_s)
        self._registrar = Registrar(client, self._nodes, settings)
        self._pod_statuses = PodStatusWriter(client, self._informers.of(PODS))
        self._mirrors = MirrorPods(client, self._informers.of(PODS), self._nodes, self._pod_statuses)
        self.tokens = PodTokens(client, self._informers.of(PODS))
        self._volumes = VolumeWriter(client, self._informers)
        self._node_statuses = NodeStatusWriter(client, self._nodes, clock)
        self._leases = NodeLeases(client, clock, settings)
        self._events = EventWriter(client, clock, ids)
        self.streams = Streams(self._open_stream, ids)
        for kind in DELIVERED_KINDS:
            self._informers.of(kind).add_handler(partial(self._changed, kind))
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind in DELIVERED_KINDS:
                group.create_task(forever(f"informer-{kind.plural}", self._informers.of(kind).run))
            for part in (
                self._pod_statuses,
                self._mirrors,
                self._volumes,
                self._node_statuses,
                self._leases,
                self._events,
            ):
                group.create_task(forever(type(part).__name__, part.run))
            group.create_task(forever("liveness", self._watch_liveness))

    async def serve(self, node: str, link: Link) -> None:
        """One session, from the agent's Hello to the end of the link. Raises ApiError when it cannot be."""
        hello = await _first_message(link)
        await self._informers.synced()
        registered = await self._registrar.register(node, NODES.codec.decode_lenient(hello.node).obj)
        session = Session(node, link, self, lease_ms=int(self._settings.fence_lease_s * 1000))
        previous = self._sessions.get(node)
        self._sessions[node] = session
        if previous is not None:
            previous.close()
        self.heartbeat(node)
        self.node_status(node, hello.node)
        self._leases.alive(registered)
        log.info("session_opened", node=node, agent=hello.agent_version, revision=self._revision)
        try:
            await session.run(self._welcome(), self._sets.snapshot(node), self._revision)
        finally:
            if self._sessions.get(node) is session:
                del self._sessions[node]
            log.info("session_closed", node=node)

    def heartbeat(self, node: str) -> None:
        recovered = not self._liveness.is_alive(node)
        self._liveness.heard(node, self._clock.monotonic())
        registered = self._nodes.get("", node)
        if recovered and registered is not None:
            self._node_statuses.recovered(node)
            self._leases.alive(registered)

    def pod_status(self, node: str, report: node_pb2.PodStatus) -> None:
        status = PODS.codec.decode_lenient(b'{"status":%b}' % report.status).obj.status
        said = PodReport(node, report.uid, report.namespace, report.name, status, report.stopped)
        if not self._mirrors.take(said):
            self._pod_statuses.submit(said)

    def static_pods(self, node: str, pods: node_pb2.StaticPods) -> None:
        self._mirrors.report(node, [PODS.codec.decode_lenient(pod).obj for pod in pods.pods])

    def volume(self, node: str, report: node_pb2.VolumeReport) -> None:
        self._volumes.submit(node, report)

    def event(self, node: str, event: bytes) -> None:
        self._events.submit(EVENTS.codec.decode_lenient(event).obj)

    def node_status(self, node: str, status: bytes) -> None:
        self._node_statuses.report(node, NODES.codec.decode_lenient(status).obj)

    def usage(self, node: str, usage: node_pb2.Usage) -> None:
        self._usage.put(node, sample_of(usage))

    @property
    def _revision(self) -> int:
        """The highest that was read. Not the newest object's alone: once that is deleted and the server restarted, the
        newest that is left has a lower revision than what agents were sent, and they would refuse the snapshot."""
        return max(self._sets.revision, *(self._informers.of(kind).revision for kind in DELIVERED_KINDS))

    def _welcome(self) -> node_pb2.Welcome:
        return node_pb2.Welcome(
            cluster_id=self._settings.cluster_id,
            epoch=self._settings.epoch,
            heartbeat_interval_ms=int(self._settings.heartbeat_interval_s * 1000),
        )

    def _changed(self, kind: Kind[Any], old: Any, new: Any) -> None:
        for delivery in self._sets.change(kind, old, new):
            if delivery.node == EVERY_NODE:
                for session in self._sessions.values():
                    session.deliver(delivery.item, self._revision)
            elif delivery.node in self._sessions:
                self._sessions[delivery.node].deliver(delivery.item, self._revision)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None or old is None:
            return
        name = old.metadata.name
        self._liveness.forget(name)
        self._leases.lost(name)
        self._node_statuses.forget(name)
        self._mirrors.forget(name)
        self._usage.forget(name)
        if name in self._sessions:
            log.info("node_object_deleted", node=name, next="the agent's session ends; it registers anew")
            self._sessions[name].close()

    async def _watch_liveness(self) -> None:
        await self._nodes.synced.wait()
        for node in self._nodes.items():
            if not _known_lost(node) and not self._liveness.is_alive(node.metadata.name):
                self._liveness.expect(node.metadata.name, self._clock.monotonic(), self._settings.start_grace_s)
        while True:
            for name in self._liveness.tick(self._clock.monotonic()):
                log.warning("node_lost", node=name, silent_s=self._settings.node_lost_after_s)
                self._node_statuses.lost(name)
                self._leases.lost(name)
            await asyncio.sleep(TICK_S)

    def _open_stream(self, node: str, request: node_pb2.OpenStream) -> None:
        session = self._sessions.get(node)
        if session is None:
            raise ServiceUnavailable(f"node {node!r} is not connected: its agent has no session with this server")
        asked = getattr(request, request.WhichOneof("request"))
        if hasattr(asked, "pod_uid"):  # the node's own metrics are of no pod
            asked.pod_uid = self._mirrors.static_uid(node, asked.pod_uid)
        session.open_stream(request)


async def _first_message(link: Link) -> node_pb2.Hello:
    async for message in link:
        if message.WhichOneof("message") != "hello":
            raise BadRequest("a session begins with Hello")
        return message.hello
    raise LinkClosed("the agent left before it said Hello")


def _known_lost(node: Node) -> bool:
    return any(c.type == "Ready" and c.reason == LOST_REASON for c in node.status.conditions or ())
