"""Pod statuses from agents into the API. The agent owns its part of the status; conditions of others stay.

Patches carry the uid as precondition and no resourceVersion: who else writes the object meanwhile is not in the way.
A status whose phase is terminal is never replaced by one that is not; an agent is heard on its own pods only. A
confirmed stop of a pod that is being deleted removes the object: here alone goes the object of a pod on a living node.
"""

from dataclasses import dataclass
from typing import Any

import structlog

from controlplane.nodeplane.newest import NewestWriter
from controlplane.nodeplane.node_set import revision_of
from orch.api.kinds import PODS
from orch.api.meta import DeleteOptions, Preconditions
from orch.api.pod.allocation import RESIZE_IN_PROGRESS, RESIZE_PENDING
from orch.api.pod.spec import Pod
from orch.api.pod.status import TERMINAL_PHASES, PodStatus
from orch.client.client import Client, PatchType
from orch.client.informer import Informer
from orch.errors import Conflict, NotFound

log = structlog.get_logger(__name__)

AGENT_FIELDS = (
    "phase", "message", "reason", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "containerStatuses",
    "initContainerStatuses", "ephemeralContainerStatuses", "observedGeneration",
)  # fmt: skip
"""Fields of a PodStatus that only the agent writes: what it leaves out is cleared."""
PASSING_CONDITIONS = (RESIZE_PENDING, RESIZE_IN_PROGRESS)
"""Conditions that are taken away when the agent no longer tells of them."""
MERGED_BY_IP = ("podIPs", "hostIPs")


@dataclass(frozen=True, slots=True)
class PodReport:
    """What an agent says of one pod."""

    node: str
    uid: str
    namespace: str
    name: str
    status: PodStatus
    stopped: bool


def would_change(current: dict[str, Any], status: dict[str, Any]) -> bool:
    """Whether `status` says anything that `current`, the stored status, does not."""
    conditions = {condition["type"]: condition for condition in current.get("conditions", ())}
    return (
        any(current.get(name) != status.get(name) for name in AGENT_FIELDS)
        or any(conditions.get(condition["type"]) != condition for condition in status.get("conditions", ()))
        or bool(_passed(current, status))
    )


def _passed(current: dict[str, Any], status: dict[str, Any]) -> list[str]:
    told = {condition["type"] for condition in status.get("conditions", ())}
    return [
        c["type"] for c in current.get("conditions", ()) if c["type"] in PASSING_CONDITIONS and c["type"] not in told
    ]


def status_patch(uid: str, current: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """A strategic merge patch from `current` to `status` in the agent's fields and conditions."""
    fields: dict[str, Any] = {name: status.get(name) for name in AGENT_FIELDS if current.get(name) != status.get(name)}
    for name in MERGED_BY_IP:
        if fields.get(name):
            fields[name] = [{"$patch": "replace"}, *fields[name]]
    over = [{"$patch": "delete", "type": type_} for type_ in _passed(current, status)]
    if over or status.get("conditions"):
        fields["conditions"] = [*status.get("conditions", ()), *over]
    return {"metadata": {"uid": uid}, "status": fields}


class PodStatusWriter:
    def __init__(self, client: Client, pods: Informer[Pod]) -> None:
        self._client, self._pods = client, pods
        self._writer = NewestWriter[str, PodReport]("pod-status", self._write)

    def submit(self, report: PodReport) -> None:
        self._writer.submit(report.uid, report)

    async def run(self) -> None:
        await self._writer.run()

    async def _write(self, uid: str, report: PodReport) -> None:
        pod = self._pods.by_uid(uid)
        if pod is None or pod.spec.node_name != report.node:
            log.info("report_of_unknown_pod", node=report.node, pod=f"{report.namespace}/{report.name}", uid=uid)
            return
        try:
            await self._write_status(pod, report)
            if report.stopped and pod.metadata.deletion_timestamp is not None:
                await self._remove(pod)
        except (Conflict, NotFound):
            if await self._exists(pod):
                raise  # too many others wrote it meanwhile: the report still has to be written
            log.info("pod_replaced_before_report", pod=f"{report.namespace}/{report.name}", uid=uid)

    async def _write_status(self, pod: Pod, report: PodReport) -> None:
        current, status = _plain(pod.status), _plain(report.status)
        if not would_change(current, status):
            return
        if current.get("phase") in TERMINAL_PHASES and status.get("phase") != current["phase"]:
            log.warning("terminal_phase_kept", pod=f"{report.namespace}/{report.name}", phase=current["phase"])
            return
        meta = pod.metadata
        patch = status_patch(meta.uid, current, status)
        stored = await self._client.patch(
            PODS, meta.name, meta.namespace, patch, patch_type=PatchType.STRATEGIC, subresource="status"
        )
        await self._pods.reached(revision_of(stored))  # the next report is compared with what this one made

    async def _exists(self, pod: Pod) -> bool:
        """Asked afresh: a Conflict means another uid, or that compare-and-swap lost every round."""
        try:
            found = await self._client.get(PODS, pod.metadata.name, pod.metadata.namespace)
        except NotFound:
            return False
        return found.metadata.uid == pod.metadata.uid

    async def _remove(self, pod: Pod) -> None:
        options = DeleteOptions(grace_period_seconds=0, preconditions=Preconditions(uid=pod.metadata.uid))
        await self._client.delete(PODS, pod.metadata.name, pod.metadata.namespace, options=options)


def _plain(status: PodStatus) -> dict[str, Any]:
    plain: dict[str, Any] = PODS.codec.to_plain(Pod(status=status)).get("status", {})
    return plain
