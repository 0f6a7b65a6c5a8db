"""What a new pod gets beyond the defaults of its type: priority, tolerations of a failing node.

As the plugins Priority and DefaultTolerationSeconds of kube-apiserver.
"""

from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import failures
from orch.api.kinds import PODS
from orch.api.pod.spec import Pod, PodSpec
from orch.api.shared import Taint, Toleration
from orch.api.tolerations import tolerated

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
FAILING_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
NO_EXECUTE = "NoExecute"


class PodDefaults:
    """`toleration_s` is how long a pod stays on a node that is not ready or unreachable, unless its author said so."""

    def __init__(self, toleration_s: int) -> None:
        self._toleration_s = toleration_s

    async def admit(self, request: Request, obj: Any) -> Any:
        if request.operation is not Operation.CREATE or request.kind is not PODS:
            return obj
        pod: Pod = obj
        spec = with_priority(pod.spec, pod.metadata.name)
        return replace(pod, spec=with_tolerations(spec, self._toleration_s))


def with_priority(spec: PodSpec, pod_name: str) -> PodSpec:
    """The number that the class stands for. Raises Forbidden for a class that does not exist."""
    name = spec.priority_class_name
    if name and name not in SYSTEM_PRIORITIES:
        raise failures.forbidden(PODS, pod_name, f"no PriorityClass with name {name} was found")
    priority = SYSTEM_PRIORITIES[name] if name else 0
    if spec.priority not in (None, priority):
        why = f"the integer value of priority ({spec.priority}) must not be provided in pod spec; "
        raise failures.forbidden(PODS, pod_name, f"{why}priority admission controller computed {priority}")
    return replace(spec, priority=priority, preemption_policy=spec.preemption_policy or "PreemptLowerPriority")


def with_tolerations(spec: PodSpec, seconds: int) -> PodSpec:
    present = spec.tolerations or ()
    added = tuple(
        Toleration(key=key, operator="Exists", effect=NO_EXECUTE, toleration_seconds=seconds)
        for key in FAILING_NODE_TAINTS
        if not tolerated(Taint(key=key, effect=NO_EXECUTE), present)
    )
    return replace(spec, tolerations=(*present, *added)) if added else spec
