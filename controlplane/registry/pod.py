"""Pods: their first status, binding, and the rule that a bound pod goes only when its containers have stopped.

At most once: a pod object that is bound to a node is removed only when the node's agent has confirmed the stop (a
delete with grace period 0 by the node's side, or a terminal phase in the status that the agent reports), or when the
Node object is gone. Anybody else's grace period 0 becomes 1 second, so that deletionGracePeriodSeconds 0 on a bound
pod always means confirmed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from controlplane.registry import content, failures
from controlplane.registry.interface import User
from controlplane.registry.strategy import Strategy
from orch.api.causes import Causes, invalid
from orch.api.identities import NODES_GROUP
from orch.api.kind import Kind
from orch.api.kinds import PODS
from orch.api.pod.ephemeral_rules import validate_ephemeral_update
from orch.api.pod.qos import qos_class
from orch.api.pod.resize_rules import resized, validate_resize
from orch.api.pod.spec import Pod
from orch.api.pod.status import TERMINAL_PHASES, PodCondition, PodStatus
from orch.api.subresources import Binding
from orch.errors import Cause
from orch.kit.clock import whole_seconds

NODEPLANE_USER = "system:orch-nodeplane"
EPHEMERAL_CONTAINERS, RESIZE = "ephemeralcontainers", "resize"
UNCONFIRMED_GRACE_MIN_S = 1
DEFAULT_GRACE_S = 30


class PodStrategy(Strategy[Pod]):
    def __init__(self, kind: Kind[Pod], node_exists: Callable[[str], bool]) -> None:
        super().__init__(kind)
        self._node_exists = node_exists

    def prepare_create(self, obj: Pod) -> Pod:
        if obj.spec.ephemeral_containers:
            causes = Causes()
            causes.forbidden("spec.ephemeralContainers", "cannot be set on create")
            raise invalid(self.kind, obj.metadata.name, causes.found)
        return replace(obj, status=PodStatus(phase="Pending", qos_class=qos_class(obj.spec)))

    def prepare_status(self, new: Pod, old: Pod) -> Pod:
        """The QoS class is decided at creation."""
        return replace(old, status=replace(new.status, qos_class=old.status.qos_class))

    def prepare_part(self, subresource: str, new: Pod, old: Pod) -> Pod:
        if subresource == RESIZE:
            spec = resized(new.spec, old.spec)
        elif subresource == EPHEMERAL_CONTAINERS:
            spec = replace(old.spec, ephemeral_containers=new.spec.ephemeral_containers)
        else:
            return new
        return replace(old, spec=spec)

    def validate_part(self, subresource: str, new: Pod, old: Pod) -> Sequence[Cause]:
        if subresource == EPHEMERAL_CONTAINERS:
            return validate_ephemeral_update(new, old)
        if subresource == RESIZE:
            return validate_resize(new, old)
        return super().validate_part(subresource, new, old)

    def grace_period_s(self, obj: Pod, requested: int | None, user: User) -> int:
        if self._has_stopped(obj):
            return 0
        wanted = requested
        if wanted is None:
            wanted = obj.metadata.deletion_grace_period_seconds  # Only who names a period changes one that runs.
        if wanted is None:
            wanted = obj.spec.termination_grace_period_seconds
        if wanted is None:
            wanted = DEFAULT_GRACE_S
        return wanted if wanted == 0 and is_node_side(user) else max(wanted, UNCONFIRMED_GRACE_MIN_S)

    def _has_stopped(self, pod: Pod) -> bool:
        node = pod.spec.node_name
        return not node or pod.status.phase in TERMINAL_PHASES or not self._node_exists(node)


def is_node_side(user: User) -> bool:
    """Whether a user speaks for what runs on the nodes."""
    return NODES_GROUP in user.groups or user.name == NODEPLANE_USER


def bound(pod: Pod, binding: Binding, now: datetime) -> Pod:
    """The pod on the node that the binding names (core/v1 Binding). Raises Conflict and Invalid."""
    node, name = binding.target.name or "", pod.metadata.name
    if binding.target.kind not in (None, "", "Node") or not node:
        raise failures.required(PODS, name, "target.name", "a node's name")
    if binding.metadata.uid and binding.metadata.uid != pod.metadata.uid:
        raise failures.conflict(PODS, name, "the UID in the binding is not the pod's", subresource="binding")
    if pod.metadata.deletion_timestamp is not None:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
        raise failures.conflict(PODS, name, why, subresource="binding")
    if pod.spec.node_name:
        why = f'pod {name} is already assigned to node "{pod.spec.node_name}"'
        raise failures.conflict(PODS, name, why, subresource="binding")
    if pod.spec.scheduling_gates:
        why = f"pod {name} has non-empty .spec.schedulingGates"
        raise failures.conflict(PODS, name, why, subresource="binding")
    return _placed(pod, node, binding.metadata.annotations, now)


def _placed(pod: Pod, node: str, annotations: Mapping[str, str] | None, now: datetime) -> Pod:
    scheduled = PodCondition(type="PodScheduled", status="True", last_transition_time=whole_seconds(now))
    others = tuple(c for c in pod.status.conditions or () if c.type != scheduled.type)
    pod = replace(
        pod,
        spec=replace(pod.spec, node_name=node),
        status=replace(pod.status, conditions=(*others, scheduled)),
    )
    if not annotations:
        return pod
    return content.with_metadata(pod, annotations={**(pod.metadata.annotations or {}), **annotations})
