"""The agent of one node: keeps a worker for every pod that is wanted here, and nothing for any other.

    link > desired state > workers (one per pod) > machine, runtime, volumes, probes
                         > network (Services, EndpointSlices, Nodes)
    runtime exits > workers       workers > outbox > link

A killed agent leaves the containers running; `run` adopts them before it dials. What the runtime holds of pods that
nobody wants is removed only after a snapshot has said so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog

from nodeagent.container_state import STOP_WINDOW_MIN_S
from nodeagent.desired_state import Change, DesiredState
from nodeagent.link import Dial, Link, ServerLink
from nodeagent.orphans import remove_orphans
from nodeagent.outbox import Outbox
from nodeagent.pod_events import EndPod, InputsChanged, PodDesired, PodRemoved
from nodeagent.pod_inputs import INPUT_KINDS, changed_input, changed_volume
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pod_machine import PodMachine
from nodeagent.pod_parts import PodParts
from nodeagent.pod_status import is_terminal
from nodeagent.pod_worker import PodWorker
from nodeagent.runtime.interface import ContainerExited, ContainerState, ContainerStatus, NoSuchContainer, SandboxStatus
from nodeagent.shutdown import REASON, REFUSED, SHUTTING_DOWN, Group, ShutdownPeriod, shutdown_groups
from nodeagent.static_pods import StaticPods
from nodeagent.streams import Streams, StreamTarget, target_of
from orch.api.kinds import ENDPOINTSLICES, NODES, PODS, SERVICES
from orch.api.node import Node
from orch.api.pod.references import references
from orch.api.pod.spec import Pod
from orch.errors import OrchError
from orch.kit.backoff import Backoff
from orch.kit.ids import Ids
from orch.kit.tasks import forever
from protos import node_pb2

log = structlog.get_logger(__name__)

NODE_STATUS_INTERVAL_S = 10.0
"""How often conditions are read; they are told only when they changed."""
FAILED_SYNC = "FailedSync"
"""As kubelet calls it when its pod worker fails (pkg/kubelet/events)."""
WORKER_DELAY_MIN_S, WORKER_DELAY_MAX_S = 1.0, 60.0
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
    """Implements link.Node, streams.Containers and pressure_relief.NodePods.

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
        self._link = Link(dial, self, desired, outbox, ids)
        self._streams = Streams(parts.runtime, self, self._metrics_text)
        self._stream_slots = STREAMS_MAX
        self._workers: dict[str, PodWorker] = {}
        self._worker_backoff = Backoff[str](WORKER_DELAY_MIN_S, WORKER_DELAY_MAX_S)
        self._group: asyncio.TaskGroup
        self._orphans: asyncio.Task[None] | None = None
        self._told_node = b""
        self._shutting_down = False
        self._not_ready = "the node has not received its first snapshot"

    async def _metrics_text(self, name: str) -> bytes:
        from nodeagent.metrics import NodeMetrics  # 5 MB and 60 ms that only a node that is scraped needs

        return await NodeMetrics(self._parts.runtime, self.pod_name).text(name)

    def pod_name(self, uid: str) -> tuple[str, str] | None:
        """(namespace, name)."""
        pod = self._desired.pod(uid) or self._static.pod(uid)
        return (pod.metadata.namespace, pod.metadata.name) if pod is not None else None

    async def run(self) -> None:
        """Until cancelled. Leaves all containers as they are."""
        self._desired.load()
        self._static.read()
        async with asyncio.TaskGroup() as self._group:
            await self._adopt()
            self._group.create_task(forever("runtime-exits", self._watch_exits))
            self._group.create_task(forever("link", self._link.run))
            self._group.create_task(forever("node-status", self._watch_node))
            self._group.create_task(forever("static-pods", self._watch_static_pods))

    async def shut_down(self, period: ShutdownPeriod) -> None:
        """The machine goes down: pods end, critical ones last. Returns when the control plane was likely told."""
        self._shutting_down = True
        self._not_ready = SHUTTING_DOWN
        self.tell_node()
        for group in shutdown_groups([worker.machine.pod for worker in self._workers.values()], period):
            await self._end_group(group)
        await asyncio.sleep(LAST_WORDS_S)

    async def _end_group(self, group: Group) -> None:
        workers = [self._workers[uid] for uid in group.uids if uid in self._workers]
        log.info("shutdown", pods=len(workers), grace_s=group.grace_s)
        for worker in workers:
            worker.post(group.order)
        try:
            async with asyncio.timeout(group.grace_s + STOP_WINDOW_MIN_S):
                for worker in workers:
                    await worker.over.wait()
        except TimeoutError:
            left = [worker.uid for worker in workers if not worker.over.is_set()]
            log.warning("shutdown_group_late", uids=left, next="the next group ends")

    # What a node under pressure asks.

    def active_pods(self) -> Sequence[tuple[Pod, bool]]:
        """Pods of which something runs or will, each with whether it is static."""
        pods = [worker.machine.pod for worker in self._workers.values() if not worker.over.is_set()]
        return [(pod, self._static.pod(pod.metadata.uid) is not None) for pod in pods]

    async def end_pod(self, uid: str, order: EndPod, wait_s: float) -> None:
        """Returns when nothing of it runs, or after `wait_s`."""
        worker = self._workers.get(uid)
        if worker is None:
            return
        worker.post(order)
        try:
            async with asyncio.timeout(wait_s):
                await worker.over.wait()
        except TimeoutError:
            log.warning("pod_ends_late", uid=uid, waited_s=wait_s)

    async def remove_dead_containers(self) -> None:
        """Of pods that are over; their logs stay. Raises RuntimeFault."""
        over = {uid for uid, worker in self._workers.items() if worker.over.is_set()}
        for container in await self._parts.runtime.list_containers():
            if container.pod_uid in over and container.state is ContainerState.EXITED:
                await self._parts.runtime.remove_container(container.id)

    # What runs here.

    async def _adopt(self) -> None:
        """Every wanted pod gets its worker, with what the runtime holds of it."""
        sandboxes, found = await self._held()
        containers: dict[str, list[ContainerStatus]] = {}
        for container in found:
            containers.setdefault(container.pod_uid, []).append(container)
        for pod in (*self._desired.pods(), *self._static.pods()):
            uid = pod.metadata.uid
            self._start(pod, sandboxes.get(uid), tuple(containers.get(uid, ())))
        for volume in self._desired.persistent_volumes():
            self._parts.volumes.volume_changed(volume.metadata.name)
        self._network.apply_snapshot([o for kind in NETWORK_KINDS for o in self._desired.all_of(kind)])
        if self._desired.position.revision:
            self._not_ready = ""
        log.info("agent_started", pods=len(self._workers), sandboxes=len(sandboxes), containers=len(containers))

    async def _held(self) -> tuple[dict[str, SandboxStatus], Sequence[ContainerStatus]]:
        """What the runtime holds, once it says so: nothing is started before that is known."""
        backoff = Backoff[str](WORKER_DELAY_MIN_S, WORKER_DELAY_MAX_S)
        while True:
            try:
                sandboxes = {s.pod_uid: s for s in await self._parts.runtime.list_pod_sandboxes()}
                return sandboxes, await self._parts.runtime.list_containers()
            except (OrchError, OSError) as error:
                delay_s = backoff.next_s("adopt")
                log.warning("runtime_state_unknown", error=str(error), retry_in_s=delay_s)
                await asyncio.sleep(delay_s)

    def _start(
        self,
        pod: Pod,
        sandbox: SandboxStatus | None = None,
        containers: tuple[ContainerStatus, ...] = (),
        refused: EndPod | None = None,
    ) -> None:
        worker = self._worker(pod)
        if self._shutting_down:
            worker.post(REFUSED)
        elif refused is not None:
            worker.post(refused)
        worker.adopt(sandbox, containers)
        if worker.machine.pod is not pod:
            worker.post(PodDesired(pod))  # it is wanted with another size than it holds
        self._group.create_task(self._run_worker(worker), name=f"pod-{worker.uid}")

    def _worker(self, pod: Pod) -> PodWorker:
        held = self._parts.allocations.admitted(pod)
        stored = self._desired.status(pod.metadata.uid) or pod.status
        if stored.reason == REASON and self._static.pod(pod.metadata.uid) is not None:
            stored = pod.status  # the node went down and is back: what belongs to it runs again
        worker = PodWorker(PodMachine(held, stored, self._parts.node.address), self._parts)
        self._workers[worker.uid] = worker
        return worker

    async def _run_worker(self, worker: PodWorker) -> None:
        """Until nothing of the pod is left. A worker that breaks is replaced; no other pod notices."""
        run = worker.run
        while not await self._came_to_its_end(worker.machine.pod, run):
            await asyncio.sleep(self._worker_backoff.next_s(worker.uid))
            run = partial(self._run_successor, worker.uid)
        self._worker_backoff.forget(worker.uid)
        del self._workers[worker.uid]
        self._start_static_pods()
        log.info("pod_gone", pod=f"{worker.machine.pod.metadata.namespace}/{worker.machine.pod.metadata.name}")

    async def _came_to_its_end(self, pod: Pod, run: Callable[[], Awaitable[None]]) -> bool:
        meta, began = pod.metadata, self._parts.clock.monotonic()
        try:
            await run()
        except Exception as error:
            if self._parts.clock.monotonic() - began > WORKER_DELAY_MAX_S:
                self._worker_backoff.forget(meta.uid)  # it was well for a while: this is another trouble
            log.exception("pod_worker_broke", pod=f"{meta.namespace}/{meta.name}", uid=meta.uid)
            causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
            message = "error syncing pod: " + "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)
            self._parts.reports.event(pod, EmitEvent("Warning", FAILED_SYNC, message))
            return False
        return True

    async def _run_successor(self, uid: str) -> None:
        """With what is wanted and what runs now: what was posted to the broken worker counts no more."""
        sandboxes = [s for s in await self._parts.runtime.list_pod_sandboxes() if s.pod_uid == uid]
        containers = tuple(c for c in await self._parts.runtime.list_containers() if c.pod_uid == uid)
        wanted = self._desired.pod(uid) or self._static.pod(uid)
        worker = self._worker(wanted or self._workers[uid].machine.pod)
        worker.adopt(sandboxes[0] if sandboxes else None, containers)
        if wanted is None:
            worker.post(PodRemoved())
        elif worker.machine.pod is not wanted:
            worker.post(PodDesired(wanted))
        await worker.run()

    async def _watch_exits(self) -> None:
        async for exited in self._parts.runtime.exits():
            await self._note_exit(exited)

    async def _note_exit(self, exited: ContainerExited) -> None:
        worker = self._workers.get(exited.pod_uid)
        if worker is None:
            return
        try:
            status = await self._parts.runtime.container_status(exited.container_id)
        except NoSuchContainer:
            return  # removed on purpose in the meantime
        worker.container_exited(status)

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
        worker = self._workers.get((new or old).metadata.uid)
        if new is None:
            self._outbox.forget(old.metadata.uid)
            if worker is not None:
                worker.post(PodRemoved())
        elif worker is not None:
            worker.post(PodDesired(new))
        else:
            self._start(new, refused=None if is_terminal(new.status.phase) else self._refuse(new))

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
        taken = {_full_name(worker.machine.pod) for worker in self._workers.values()}
        for pod in self._static.pods():
            if _full_name(pod) not in taken:
                self._start(pod)

    def _input_changed(self, change: Change) -> None:
        if (volume := changed_volume(change)) is not None:
            self._parts.volumes.volume_changed(volume.metadata.name)
            if change.new is None:
                self._outbox.forget_volume(volume.metadata.uid)
        named = changed_input(change)
        for worker in self._workers.values():
            if named in references(worker.machine.pod):
                worker.post(InputsChanged())

    def synced(self) -> None:
        self._parts.allocations.forget_others()
        self._not_ready = SHUTTING_DOWN if self._shutting_down else ""
        self.tell_node()
        if self._orphans is None or self._orphans.done():
            self._orphans = self._group.create_task(remove_orphans(self._parts, self._workers), name="orphans")

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
        worker = self._workers.get(pod_uid)
        machine = worker.machine.container(container) if worker is not None else None
        if worker is None or machine is None:
            return None
        return target_of(machine, self._parts.log_directory(worker.machine.pod) / container)


def _full_name(pod: Pod) -> tuple[str, str]:
    return pod.metadata.namespace, pod.metadata.name
