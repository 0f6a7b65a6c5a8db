"""The workers of a node: one for every pod that is wanted here, kept at work until nothing of its pod is left.

A worker that breaks is replaced after a pause; no other pod notices. Nothing is started before it is known what the
runtime holds. Invariant: a pod has one worker at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import structlog

from nodeagent.container_state import STOP_WINDOW_MIN_S
from nodeagent.pod_events import EndPod, PodDesired, PodRemoved
from nodeagent.pod_instructions import EmitEvent
from nodeagent.pod_machine import PodMachine
from nodeagent.pod_parts import PodParts
from nodeagent.pod_worker import PodWorker
from nodeagent.runtime.interface import ContainerExited, ContainerState, ContainerStatus, NoSuchContainer, SandboxStatus
from nodeagent.shutdown import REASON, REFUSED, Group
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.errors import OrchError
from orch.kit.backoff import Backoff

log = structlog.get_logger(__name__)

FAILED_SYNC = "FailedSync"
"""As kubelet calls it when its pod worker fails (pkg/kubelet/events)."""
WORKER_DELAY_MIN_S, WORKER_DELAY_MAX_S = 1.0, 60.0


class Wanted(Protocol):
    """What the workers look up by a pod's uid."""

    def pod(self, uid: str) -> Pod | None:
        """None: not wanted here any more."""

    def is_static(self, uid: str) -> bool: ...

    def stored_status(self, uid: str) -> PodStatus | None:
        """What was last reported of it."""


class PodWorkers(Collection[str]):
    """A collection of uids. `group` is theirs from `adopt` on; `on_gone` is called when nothing of a pod is left."""

    def __init__(self, parts: PodParts, wanted: Wanted, on_gone: Callable[[], None]) -> None:
        self._parts, self._wanted, self._on_gone = parts, wanted, on_gone
        self._workers: dict[str, PodWorker] = {}
        self._backoff = Backoff[str](WORKER_DELAY_MIN_S, WORKER_DELAY_MAX_S)
        self._group: asyncio.TaskGroup
        self.refusing = False
        """The node goes down: pods that come now are not started."""

    def __contains__(self, uid: object) -> bool:
        return uid in self._workers

    def __iter__(self) -> Iterator[str]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def all(self) -> Collection[PodWorker]:
        return self._workers.values()

    async def adopt(self, group: asyncio.TaskGroup, pods: Iterable[Pod]) -> None:
        """Every wanted pod gets its worker, with what the runtime holds of it."""
        self._group = group
        sandboxes, found = await self._held()
        containers: dict[str, list[ContainerStatus]] = {}
        for container in found:
            containers.setdefault(container.pod_uid, []).append(container)
        for pod in pods:
            uid = pod.metadata.uid
            self._begin(pod, None, sandboxes.get(uid), tuple(containers.get(uid, ())))
        log.info("agent_started", pods=len(self), sandboxes=len(sandboxes), containers=len(found))

    def start(self, pod: Pod, refused: EndPod | None = None) -> None:
        """`refused`: why it fails instead of being started."""
        self._begin(pod, REFUSED if self.refusing else refused)

    async def watch_exits(self) -> None:
        async for exited in self._parts.runtime.exits():
            await self._note_exit(exited)

    async def end_group(self, group: Group) -> None:
        """Returns when they have ended, or had the time for it."""
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

    # What a node under pressure asks (pressure_relief.NodePods).

    def active_pods(self) -> Sequence[tuple[Pod, bool]]:
        """Pods of which something runs or will, each with whether it is static."""
        pods = [worker.machine.pod for worker in self.all() if not worker.over.is_set()]
        return [(pod, self._wanted.is_static(pod.metadata.uid)) for pod in pods]

    async def end_pod(self, uid: str, order: EndPod, wait_s: float) -> None:
        """Returns when nothing of it runs, or after `wait_s`."""
        worker = self.get(uid)
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
        over = {worker.uid for worker in self.all() if worker.over.is_set()}
        for container in await self._parts.runtime.list_containers():
            if container.pod_uid in over and container.state is ContainerState.EXITED:
                await self._parts.runtime.remove_container(container.id)

    # Their life.

    async def _held(self) -> tuple[dict[str, SandboxStatus], Sequence[ContainerStatus]]:
        """What the runtime holds, once it says so."""
        backoff = Backoff[str](WORKER_DELAY_MIN_S, WORKER_DELAY_MAX_S)
        while True:
            try:
                sandboxes = {s.pod_uid: s for s in await self._parts.runtime.list_pod_sandboxes()}
                return sandboxes, await self._parts.runtime.list_containers()
            except (OrchError, OSError) as error:
                delay_s = backoff.next_s("adopt")
                log.warning("runtime_state_unknown", error=str(error), retry_in_s=delay_s)
                await asyncio.sleep(delay_s)

    def _begin(
        self,
        pod: Pod,
        refused: EndPod | None,
        sandbox: SandboxStatus | None = None,
        containers: tuple[ContainerStatus, ...] = (),
    ) -> None:
        worker = self._worker(pod)
        if refused is not None:
            worker.post(refused)
        worker.adopt(sandbox, containers)
        if worker.machine.pod is not pod:
            worker.post(PodDesired(pod))  # it is wanted with another size than it holds
        self._group.create_task(self._keep(worker), name=f"pod-{worker.uid}")

    def _worker(self, pod: Pod) -> PodWorker:
        held = self._parts.allocations.admitted(pod)
        stored = self._wanted.stored_status(pod.metadata.uid) or pod.status
        if stored.reason == REASON and self._wanted.is_static(pod.metadata.uid):
            stored = pod.status  # the node went down and is back: what belongs to it runs again
        worker = PodWorker(PodMachine(held, stored, self._parts.node.address), self._parts)
        self._workers[worker.uid] = worker
        return worker

    async def _keep(self, worker: PodWorker) -> None:
        """Until nothing of the pod is left."""
        run = worker.run
        while not await self._came_to_its_end(worker.machine.pod, run):
            await asyncio.sleep(self._backoff.next_s(worker.uid))
            run = partial(self._run_successor, worker.uid)
        self._backoff.forget(worker.uid)
        del self._workers[worker.uid]
        self._on_gone()
        log.info("pod_gone", pod=f"{worker.machine.pod.metadata.namespace}/{worker.machine.pod.metadata.name}")

    async def _came_to_its_end(self, pod: Pod, run: Callable[[], Awaitable[None]]) -> bool:
        meta, began = pod.metadata, self._parts.clock.monotonic()
        try:
            await run()
        except Exception as error:
            if self._parts.clock.monotonic() - began > WORKER_DELAY_MAX_S:
                self._backoff.forget(meta.uid)  # it was well for a while: this is another trouble
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
        wanted = self._wanted.pod(uid)
        worker = self._worker(wanted or self._workers[uid].machine.pod)
        worker.adopt(sandboxes[0] if sandboxes else None, containers)
        if wanted is None:
            worker.post(PodRemoved())
        elif worker.machine.pod is not wanted:
            worker.post(PodDesired(wanted))
        await worker.run()

    async def _note_exit(self, exited: ContainerExited) -> None:
        worker = self.get(exited.pod_uid)
        if worker is None:
            return
        try:
            status = await self._parts.runtime.container_status(exited.container_id)
        except NoSuchContainer:
            return  # removed on purpose in the meantime
        worker.container_exited(status)
