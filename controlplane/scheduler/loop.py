"""The scheduler's shell: informers feed snapshot and queue, the cycle decides, bindings are committed in parallel.

A decision is optimistic: the pod counts on its node at once (assumed), so that the next decision sees it while the
binding is under way; the API refuses a binding that came too late, and then the pod is forgotten there and retried.

Invariant: a pod that waits in the queue is not recorded in the snapshot, and the other way round.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from msgspec.structs import replace

from controlplane.scheduler.claim_binder import ClaimBinder, VolumesNotBound
from controlplane.scheduler.cycle import schedule
from controlplane.scheduler.demand import PodInfo, amounts, pod_info
from controlplane.scheduler.interface import Hint, Placement, Unschedulable
from controlplane.scheduler.plugins import FILTERS, SCORES
from controlplane.scheduler.queue import SchedulingQueue
from controlplane.scheduler.snapshot import Snapshot, taints_of
from orch.api.kinds import NODES, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, STORAGECLASSES
from orch.api.node import Node
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition, is_finished
from orch.client.client import Client, PatchType
from orch.client.events import EventRecorder
from orch.client.informer import Informer
from orch.errors import ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound
from orch.kit.clock import Clock, whole_seconds
from orch.kit.ids import Ids
from orch.kit.tasks import forever

log = structlog.get_logger(__name__)

SCHEDULER_NAME = "default-scheduler"
WRITES_IN_FLIGHT_MAX = 128
UNANSWERED_RETRY_DELAY_S = 0.2
DEFINITE_ERRORS = (BadRequest, Conflict, Forbidden, Invalid, NotFound)
"""Answers that say that nothing was written."""


class Scheduler:
    """`run` is the whole life of a scheduler; its owner keeps it as a task."""

    def __init__(self, client: Client, clock: Clock, ids: Ids) -> None:
        self._client, self._clock, self._ids = client, clock, ids
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue()
        self._nodes = Informer(client, NODES)
        self._pods = Informer(client, PODS)
        self._events = EventRecorder(client, clock, ids, component=SCHEDULER_NAME)
        self._writes = asyncio.Semaphore(WRITES_IN_FLIGHT_MAX)
        self._claims = Informer(client, PERSISTENTVOLUMECLAIMS)
        self._volumes = Informer(client, PERSISTENTVOLUMES)
        self._classes = Informer(client, STORAGECLASSES)
        self._binder = ClaimBinder(client, self._snapshot.storage)
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(partial(self._storage_changed, self._snapshot.storage.put_volume))
        self._classes.add_handler(partial(self._storage_changed, self._snapshot.storage.put_class))
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            informers: tuple[Informer[Any], ...] = (
                self._nodes, self._pods, self._claims, self._volumes, self._classes
            )  # fmt: skip
            for informer in informers:
                tasks.create_task(forever(f"scheduler {informer.kind.plural}", informer.run))
            tasks.create_task(forever("scheduler events", self._events.run))
            for informer in informers:
                await informer.synced.wait()
            await self._schedule_forever(tasks)

    async def _schedule_forever(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._writes.acquire()
            info = await self._queue.get()
            verdict = schedule(info, self._snapshot, FILTERS, SCORES, self._ids.uniform(0.0, 1.0) % 1.0)
            match verdict:
                case Placement():
                    self._snapshot.put_pod(info, verdict.node)
                    tasks.create_task(self._bind(info, verdict))
                case Unschedulable():
                    self._queue.park(info, verdict.helped_by)
                    tasks.create_task(self._refuse(info, verdict))
            # Neither await above gives way while pods wait; the bindings need the loop.
            await asyncio.sleep(0)

    async def _bind(self, info: PodInfo, placement: Placement) -> None:
        metadata = info.pod.metadata
        try:
            await self._bind_volumes(info, placement.node)
            await self._client.create_subresource(
                PODS, metadata.name, metadata.namespace, "binding", _binding(info.pod, placement.node)
            )
        except ApiError as error:
            log.info("binding_refused", pod=metadata.name, namespace=metadata.namespace, error=str(error))
            await self._settle(info, placement.node, error)
        else:
            log.debug("pod_scheduled", pod=metadata.name, namespace=metadata.namespace, node=placement.node)
            self._queue.discard(info.uid)
            message = f"Successfully assigned {metadata.namespace}/{metadata.name} to {placement.node}"
            self._events.record(info.pod, "Normal", "Scheduled", message, action="Binding")
        finally:
            self._writes.release()

    async def _bind_volumes(self, info: PodInfo, node_name: str) -> None:
        node = self._nodes.get("", node_name)
        if info.claims and node is None:
            raise Conflict(f"node {node_name!r} is gone")
        try:
            if node is not None:
                await self._binder.bind(info, node)
        except VolumesNotBound as error:
            message = f'running PreBind plugin "VolumeBinding": {error}'
            self._events.record(info.pod, "Warning", "FailedScheduling", message, action="Scheduling")
            raise

    async def _settle(self, info: PodInfo, node: str, error: ApiError) -> None:
        """A binding that the API refused is forgotten; one that it did not answer may have happened: ask."""
        metadata = info.pod.metadata
        while not isinstance(error, DEFINITE_ERRORS):
            await asyncio.sleep(UNANSWERED_RETRY_DELAY_S)
            try:
                pod = await self._client.get(PODS, metadata.name, metadata.namespace)
            except ApiError as again:
                error = again
                continue
            if pod.metadata.uid == info.uid and pod.spec.node_name:
                return  # the watch brings it
            break
        self._forget(info, node)

    def _forget(self, info: PodInfo, node: str) -> None:
        pod = self._pods.by_uid(info.uid)
        if pod is not None and pod.spec.node_name:
            return
        if self._snapshot.node_of(info.uid) == node:
            self._snapshot.remove_pod(info.uid)
            self._queue.helped(Hint.POD_REMOVED)
        if pod is not None and _waits(pod):
            self._queue.retry(pod_info(pod))
        else:
            self._queue.discard(info.uid)

    async def _refuse(self, info: PodInfo, verdict: Unschedulable) -> None:
        pod, message = info.pod, verdict.message
        log.info("pod_unschedulable", pod=pod.metadata.name, namespace=pod.metadata.namespace, message=message)
        self._events.record(pod, "Warning", "FailedScheduling", message, action="Scheduling")
        try:
            if not _condition_says(pod, message):
                await self._client.patch(
                    PODS,
                    pod.metadata.name,
                    pod.metadata.namespace,
                    self._unschedulable_patch(pod, message),
                    patch_type=PatchType.STRATEGIC,
                    subresource="status",
                )
        except ApiError as error:
            log.info("condition_not_written", pod=pod.metadata.name, error=str(error))
        finally:
            self._writes.release()

    def _unschedulable_patch(self, pod: Pod, message: str) -> dict[str, object]:
        since = next((c.last_transition_time for c in _conditions(pod) if c.status == "False"), None)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": _timestamp(since or whole_seconds(self._clock.now())),
        }
        return {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._snapshot.remove_node(old.metadata.name)
            return
        self._snapshot.put_node(new)
        for hint in node_hints(old, new):
            self._queue.helped(hint)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        self._storage_changed(self._snapshot.storage.put_claim, old, new)
        self._binder.claim_changed()

    def _storage_changed(self, put: Callable[[Any, Any], None], old: Any, new: Any) -> None:
        put(old, new)
        self._queue.helped(Hint.STORAGE_CHANGED)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        uid = pod.metadata.uid
        if new is None or is_finished(new.status):  # it holds nothing on its node any more
            self._queue.discard(uid)
            if self._snapshot.remove_pod(uid):
                self._queue.helped(Hint.POD_REMOVED)
        elif new.spec.node_name:
            self._queue.discard(uid)
            if self._snapshot.node_of(uid) != new.spec.node_name or old is None or not _same_demand(old, new):
                self._snapshot.put_pod(pod_info(new), new.spec.node_name)
        elif not _waits(new):
            self._queue.discard(uid)
        elif self._snapshot.node_of(uid) is None:
            self._queue.put(pod_info(new), changed=old is not None and _may_fit_now(old, new))


def node_hints(old: Node | None, new: Node) -> list[Hint]:
    """How a node's change may help pods that fit nowhere."""
    if old is None:
        return [Hint.NODE_ADDED]
    hints = []
    before, after = amounts(old.status.allocatable), amounts(new.status.allocatable)
    if any(amount > before.get(resource, 0) for resource, amount in after.items()):
        hints.append(Hint.NODE_GREW)
    if old.metadata.labels != new.metadata.labels:
        hints.append(Hint.NODE_RELABELLED)
    if taints_of(old) != taints_of(new) or old.spec.unschedulable != new.spec.unschedulable:
        hints.append(Hint.NODE_TAINTS_CHANGED)
    return hints


def _waits(pod: Pod) -> bool:
    """It wants a node from this scheduler, now."""
    ours = (pod.spec.scheduler_name or SCHEDULER_NAME) == SCHEDULER_NAME
    return ours and not pod.spec.node_name and not pod.spec.scheduling_gates and not pod.metadata.deletion_timestamp


def _may_fit_now(old: Pod, new: Pod) -> bool:
    return old.spec != new.spec or old.metadata.owner_references != new.metadata.owner_references


def _same_demand(old: Pod, new: Pod) -> bool:
    """Most updates of a pod are of its status, or its binding, which was counted when it was assumed."""
    return replace(old.spec, node_name=new.spec.node_name) == new.spec


def _conditions(pod: Pod) -> list[PodCondition]:
    return [condition for condition in pod.status.conditions or () if condition.type == "PodScheduled"]


def _condition_says(pod: Pod, message: str) -> bool:
    return any(condition.status == "False" and condition.message == message for condition in _conditions(pod))


def _binding(pod: Pod, node: str) -> dict[str, object]:
    """A core/v1 Binding; the uid makes it fail for a pod that was replaced under the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
