"""What the agent has to tell the control plane, while it is connected and while it is not.

Pod statuses are kept per pod, the newest only, and told again in full with every new session; events are best effort
and bounded. Statuses that a restart of the agent needs (phase, restarts, which container) also go to the disk, when
one of these changes. Implements pod_parts.Reports.

What nobody waits for (events, and statuses of pods that are still on their way up) is told only when it is ripe: a pod
that starts in the meantime costs the control plane one write of its status instead of three.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

import msgspec
import structlog

from nodeagent.desired_state import DesiredState
from nodeagent.pod_instructions import EmitEvent, ReportStatus
from orch.api.event import Event, EventSource
from orch.api.kinds import EVENTS, NODES, PODS
from orch.api.meta import ObjectMeta
from orch.api.pod.allocation import RESIZE_IN_PROGRESS
from orch.api.pod.spec import Pod
from orch.api.pod.status import ContainerStatus, PodStatus
from orch.api.shared import ObjectReference
from orch.kit.clock import Clock, whole_seconds
from protos import node_pb2

log = structlog.get_logger(__name__)

EVENTS_MAX = 1_000
EVENT_COMPONENT = "kubelet"
"""What tools look for as the source of a pod's events on a node."""


@dataclass(frozen=True, slots=True)
class _Told:
    namespace: str
    name: str
    report: ReportStatus


def checkpoint(status: PodStatus) -> tuple[object, ...]:
    """The part of a status that a restarted agent cannot find out again."""
    containers: tuple[ContainerStatus, ...] = (
        *(status.init_container_statuses or ()),
        *(status.container_statuses or ()),
    )
    resizes = any(c.type == RESIZE_IN_PROGRESS for c in status.conditions or ())
    return (
        status.phase,
        resizes,
        tuple((c.name, c.restart_count, c.container_id, c.state.terminated) for c in containers),
    )


class Outbox:
    def __init__(self, node: str, desired: DesiredState, clock: Clock) -> None:
        self._node, self._desired, self._clock = node, desired, clock
        self._statuses: dict[str, _Told] = {}
        self._unsent: dict[str, None] = {}
        self._unripe: dict[str, None] = {}
        """Uids whose newest status can wait."""
        self._events: deque[bytes] = deque(maxlen=EVENTS_MAX)
        self._events_ripe = False
        self._node_status = b""
        self._network_revision = 0
        self._static_pods: list[bytes] = []
        self._static_pods_untold = False
        self._usage: node_pb2.Usage | None = None
        self._volumes: dict[str, node_pb2.VolumeReport] = {}
        self._unsent_volumes: dict[str, None] = {}
        self.wake = asyncio.Event()
        """There is something to tell now."""
        self.waiting = asyncio.Event()
        """There is something that is to ripen."""

    def pod_status(self, pod: Pod, report: ReportStatus) -> None:
        uid = pod.metadata.uid
        before = self._desired.status(uid)
        if report.stopped:
            self._desired.forget_status(uid)
        elif before is None or checkpoint(before) != checkpoint(report.status):
            self._desired.save_status(uid, report.status)
        self._statuses[uid] = _Told(pod.metadata.namespace, pod.metadata.name, report)
        if report.status.phase == "Pending" and not report.stopped:
            self._unripe[uid] = None
            self.waiting.set()
        else:
            self._unripe.pop(uid, None)
            self._unsent[uid] = None
            self.wake.set()

    def event(self, pod: Pod, event: EmitEvent) -> None:
        self._events.append(EVENTS.codec.encode(self._event_object(_about(pod, event), event)))
        self.waiting.set()

    def node_event(self, event: EmitEvent) -> None:
        about = ObjectReference(api_version=NODES.api_version, kind=NODES.kind, name=self._node, uid=self._node)
        self._events.append(EVENTS.codec.encode(self._event_object(about, event)))
        self.waiting.set()

    def node_status(self, node: bytes) -> None:
        self._node_status = node
        self.wake.set()

    def static_pods(self, pods: list[bytes]) -> None:
        """All that there are, as Pod JSON; told again with every session, so that the server can tidy up."""
        self._static_pods_untold = self._static_pods_untold or pods != self._static_pods
        self._static_pods = pods
        self.wake.set()

    def network_applied(self, revision: int) -> None:
        self._network_revision = revision
        self.wake.set()

    def usage(self, usage: node_pb2.Usage) -> None:
        """The newest counts; what was not told in time is not told."""
        self._usage = usage
        self.wake.set()

    def volume(self, report: node_pb2.VolumeReport) -> None:
        self._volumes[report.uid] = report
        self._unsent_volumes[report.uid] = None
        self.wake.set()

    def forget_volume(self, uid: str) -> None:
        """The volume's object is gone."""
        self._volumes.pop(uid, None)
        self._unsent_volumes.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The pod's object is gone: nobody wants to hear of it."""
        self._statuses.pop(uid, None)
        self._unsent.pop(uid, None)
        self._unripe.pop(uid, None)
        self._desired.forget_status(uid)

    def tell_all_again(self) -> None:
        self._unsent = dict.fromkeys(self._statuses)
        self._unsent_volumes = dict.fromkeys(self._volumes)
        self._static_pods_untold = True
        self.ripen()

    def ripen(self) -> None:
        """All that waits is to be told now."""
        self._unsent |= self._unripe
        self._unripe = {}
        self._events_ripe = True
        self.waiting.clear()
        self.wake.set()

    def take(self) -> list[node_pb2.AgentMessage]:
        """All that is to be told now; statuses in one message, since a message costs more than what is in it."""
        self.wake.clear()
        messages = []
        if self._node_status:
            status = node_pb2.NodeStatus(node=self._node_status)
            messages.append(node_pb2.AgentMessage(node_status=status))
            self._node_status = b""
        if self._static_pods_untold:
            messages.append(node_pb2.AgentMessage(static_pods=node_pb2.StaticPods(pods=self._static_pods)))
            self._static_pods_untold = False
        if self._unsent:
            reports = [self._report(uid, self._statuses[uid]) for uid in self._unsent]
            messages.append(node_pb2.AgentMessage(pod_statuses=node_pb2.PodStatuses(reports=reports)))
            self._unsent = {}
        if self._unsent_volumes:
            volumes = node_pb2.VolumeReports(reports=[self._volumes[uid] for uid in self._unsent_volumes])
            messages.append(node_pb2.AgentMessage(volumes=volumes))
            self._unsent_volumes = {}
        if self._events and self._events_ripe:
            messages.append(node_pb2.AgentMessage(events=node_pb2.Events(events=self._events)))
            self._events.clear()
        self._events_ripe = False
        if self._network_revision:
            applied = node_pb2.NetworkApplied(revision=self._network_revision)
            messages.append(node_pb2.AgentMessage(network_applied=applied))
            self._network_revision = 0
        if self._usage is not None:
            messages.append(node_pb2.AgentMessage(usage=self._usage))
            self._usage = None
        return messages

    def _report(self, uid: str, told: _Told) -> node_pb2.PodStatus:
        return node_pb2.PodStatus(
            uid=uid,
            namespace=told.namespace,
            name=told.name,
            status=msgspec.json.encode(told.report.status),
            stopped=told.report.stopped,
        )

    def _event_object(self, about: ObjectReference, event: EmitEvent) -> Event:
        now = whole_seconds(self._clock.now())
        return Event(
            metadata=ObjectMeta(namespace=about.namespace or ""),
            involved_object=about,
            type=event.type,
            reason=event.reason,
            message=event.message,
            source=EventSource(component=EVENT_COMPONENT, host=self._node),
            reporting_component=EVENT_COMPONENT,
            reporting_instance=self._node,
            first_timestamp=now,
            last_timestamp=now,
            count=1,
        )


def _about(pod: Pod, event: EmitEvent) -> ObjectReference:
    return ObjectReference(
        api_version=PODS.api_version,
        kind=PODS.kind,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        resource_version=pod.metadata.resource_version or None,
        field_path=f"spec.containers{{{event.container}}}" if event.container else None,
    )
