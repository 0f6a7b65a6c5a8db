"""The agent of one node: keeps a worker for every pod that is wanted here, and nothing for any other.

    link > desired state > workers (one per pod) > machine, runtime, volumes, probes
                         > network (Services, EndpointSlices, Nodes)
    runtime exits > workers       workers > outbox > link

A killed agent leaves the containers running; `run` adopts them before it dials. What the runtime holds of pods that
nobody wants is removed only after a snapshot has said so.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from nodeagent.desired_state import Change, DesiredState
from nodeagent.link import Dial, Link, ServerLink
from nodeagent.orphans import remove_orphans
from nodeagent.outbox import Outbox
from nodeagent.pod_events import EndPod, InputsChanged, PodDesired, PodRemoved
from nodeagent.pod_inputs import INPUT_KINDS, changed_input, changed_volume
from nodeagent.pod_parts import PodParts
from nodeagent.pod_status import is_terminal
from nodeagent.pod_workers import PodWorkers
from nodeagent.shutdown import SHUTTING_DOWN, ShutdownPeriod, shutdown_groups
from nodeagent.static_pods import StaticPods
from nodeagent.streams import Streams, StreamTarget, target_of
from orch.api.kinds import ENDPOINTSLICES, NODES, PODS, SERVICES
from orch.api.node import Node
from orch.api.pod.references import references
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.kit.ids import Ids
from orch.kit.tasks import forever
from protos import node_pb2

log = structlog.get_logger(__name__)

NODE_STATUS_INTERVAL_S = 10.0
"""How often conditions are read; they are told only when they changed."""
STREAMS_MAX = 256
REFUSALS_MAX = 64
"""Streams beyond that number whose users are told so, at a time."""
LAST_WORDS_S = 1.0
"""For the last statuses to reach the server."""
NETWORK_KINDS = (NODES, SERVICES, ENDPOINTSLICES)
NETWORK_KIND_NAMES = frozenset(kind.kind for kind in NETWORK_KINDS)


class NodeNetwork(Protocol):
    """The node's network: routes to other nodes, services, names. Calls are cheap and synchronous."""

    def apply(self, old: Any, new: Any) -> None: ...

    def apply_snapshot(self, objects: Sequence[Any]) -> None:
        """These are all there are."""

    def reached(self, revision: int) -> None:
        """Everything up to this revision was handed over."""


class Agent:
    """Implements link.Node, streams.Containers and pod_workers.Wanted.

    `describe(not_ready)` makes the Node object of this moment; `refuse` says why a pod that comes now is not started.
    """

    def __init__(
        self,
        *,
        node_name: str,
        boot_id: str,
        version: str,
        dial: Dial,
        desired: DesiredState,
        outbox: Outbox,
        parts: PodParts,
        network: NodeNetwork,
        describe: Callable[[str], Node],
        ids: Ids,
        static_pods: StaticPods,
        refuse: Callable[[Pod], EndPod | None],
    ) -> None:
        self._node_name, self._boot_id, self._version = node_name, boot_id, version
        self._desired, self._outbox, self._parts, self._network = desired, outbox, parts, network
        self._describe = describe
        self._static, self._refuse = static_pods, refuse
        self.workers = PodWorkers(parts, self, self._start_static_pods)
        self._link = Link(dial, self, desired, outbox, ids)
        self._streams = Streams(parts.runtime, self, self._metrics_text)
        self._stream_slots = STREAMS_MAX
        self._group: asyncio.TaskGroup
        self._orphans: asyncio.Task[None] | None = None
        self._told_node = b""
        self._adopted = asyncio.Event()
        self._not_ready = "the node has not received its first snapshot"

    async def _metrics_text(self, name: str) -> bytes:
        from nodeagent.metrics import NodeMetrics  # 5 MB and 60 ms that only a node that is scraped needs

        return await NodeMetrics(self._parts.runtime, self.pod_name).text(name)

    def pod(self, uid: str) -> Pod | None:
        return self._desired.pod(uid) or self._static.pod(uid)

    def is_static(self, uid: str) -> bool:
        return self._static.pod(uid) is not None

    def stored_status(self, uid: str) -> PodStatus | None:
        return self._desired.status(uid)

    def pod_name(self, uid: str) -> tuple[str, str] | None:
        """(namespace, name)."""
        pod = self.pod(uid)
        return _full_name(pod) if pod is not None else None

    async def run(self) -> None:
        """Until cancelled. Leaves all containers as they are."""
        self._desired.load()
        self._static.read()
        async with asyncio.TaskGroup() as self._group:
            await self._adopt()
            self._adopted.set()
            self._group.create_task(forever("runtime-exits", self.workers.watch_exits))
            self._group.create_task(forever("link", self._link.run))
            self._group.create_task(forever("node-status", self._watch_node))
            self._group.create_task(forever("static-pods", self._watch_static_pods))

    async def _adopt(self) -> None:
        """What is wanted and what runs, as the last agent left it."""
        await self.workers.adopt(self._group, (*self._desired.pods(), *self._static.pods()))
        for volume in self._desired.persistent_volumes():
            self._parts.volumes.volume_changed(volume.metadata.name)
        self._network.apply_snapshot([o for kind in NETWORK_KINDS for o in self._desired.all_of(kind)])
        if self._desired.position.revision:
            self._not_ready = ""

    async def shut_down(self, period: ShutdownPeriod) -> None:
        """The machine goes down: pods end, critical ones last. Returns when the control plane was likely told."""
        await self._adopted.wait()  # what was not found yet would run on
        self.workers.refusing = True
        self._not_ready = SHUTTING_DOWN
        self.tell_node()
        for group in shutdown_groups([worker.machine.pod for worker in self.workers.all()], period):
            await self.workers.end_group(group)
        await asyncio.sleep(LAST_WORDS_S)

    # What is wanted.

    def desired_changed(self, changes: Sequence[Change], revision: int) -> None:
        """Inputs before pods: a pod and what it names may come in one delta."""
        for change in changes:
            if change.kind in INPUT_KINDS:
                self._input_changed(change)
            elif change.kind in NETWORK_KIND_NAMES:
                self._network.apply(change.old, change.new)
        for change in changes:
            if change.kind == PODS.kind:
                self._pod_changed(change.old, change.new)
        self._network.reached(revision)

    def _pod_changed(self, old: Any, new: Any) -> None:
        worker = self.workers.get((new or old).metadata.uid)
        if new is None:
            self._outbox.forget(old.metadata.uid)
            if worker is not None:
                worker.post(PodRemoved())
        elif worker is not None:
            worker.post(PodDesired(new))
        else:
            self.workers.start(new, None if is_terminal(new.status.phase) else self._refuse(new))

    async def _watch_static_pods(self) -> None:
        with self._static.changes() as changes:
            while True:
                self._read_static_pods()
                if changes is None:
                    await asyncio.Event().wait()
                else:
                    await changes.wait()

    def _read_static_pods(self) -> None:
        before = self._static.pods()
        self._static.read()
        for pod in before:
            if self._static.pod(pod.metadata.uid) is None:
                log.info("static_pod_gone", pod=f"{pod.metadata.namespace}/{pod.metadata.name}", uid=pod.metadata.uid)
                self._pod_changed(pod, None)
        self._outbox.static_pods([PODS.codec.encode(pod) for pod in self._static.pods()])
        self._start_static_pods()

    def _start_static_pods(self) -> None:
        """A pod whose file changed begins when the one of the same name before it has ended."""
        taken = {_full_name(worker.machine.pod) for worker in self.workers.all()}
        for pod in self._static.pods():
            if _full_name(pod) not in taken:
                self.workers.start(pod)

    def _input_changed(self, change: Change) -> None:
        if (volume := changed_volume(change)) is not None:
            self._parts.volumes.volume_changed(volume.metadata.name)
            if change.new is None:
                self._outbox.forget_volume(volume.metadata.uid)
        named = changed_input(change)
        for worker in self.workers.all():
            if named in references(worker.machine.pod):
                worker.post(InputsChanged())

    def synced(self) -> None:
        self._parts.allocations.forget_others()
        self._not_ready = SHUTTING_DOWN if self.workers.refusing else ""
        self.tell_node()
        if self._orphans is None or self._orphans.done():
            self._orphans = self._group.create_task(remove_orphans(self._parts, self.workers), name="orphans")

    # What the server is told, and asks.

    def hello(self) -> node_pb2.Hello:
        held = self._desired.position
        self._told_node = NODES.codec.encode(self._describe(self._not_ready))
        return node_pb2.Hello(
            agent_version=self._version,
            boot_id=self._boot_id,
            cluster_id=held.cluster_id,
            epoch=held.epoch,
            revision=held.revision,
            node=self._told_node,
        )

    async def _watch_node(self) -> None:
        while True:
            await asyncio.sleep(NODE_STATUS_INTERVAL_S)
            self.tell_node()

    def tell_node(self) -> None:
        node = NODES.codec.encode(self._describe(self._not_ready))
        if node != self._told_node:
            self._told_node = node
            self._outbox.node_status(node)

    def open_stream(self, link: ServerLink, request: node_pb2.OpenStream) -> None:
        if self._stream_slots <= -REFUSALS_MAX:
            log.warning("stream_not_opened", open=STREAMS_MAX)
            return
        work = self._streams.serve if self._stream_slots > 0 else self._streams.refuse
        self._stream_slots -= 1
        task = self._group.create_task(work(link, request), name="stream")
        task.add_done_callback(self._stream_ended)

    def _stream_ended(self, task: asyncio.Task[None]) -> None:
        self._stream_slots += 1

    def stream_target(self, pod_uid: str, container: str) -> StreamTarget | None:
        worker = self.workers.get(pod_uid)
        machine = worker.machine.container(container) if worker is not None else None
        if worker is None or machine is None:
            return None
        return target_of(worker.machine.pod, machine, self._parts.log_directory(worker.machine.pod) / container)


def _full_name(pod: Pod) -> tuple[str, str]:
    return pod.metadata.namespace, pod.metadata.name
