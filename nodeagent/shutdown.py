"""In which order the pods of a node end when the machine goes down, and how long each may take. Pure.

As kubelet's graceful node shutdown (pkg/kubelet/nodeshutdown): ordinary pods first, then the critical ones, each group
within its part of the whole period.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.pod_events import EndPod
from orch.api.pod.spec import Pod

CRITICAL_PRIORITY_MIN = 2_000_000_000
SHUTTING_DOWN = "node is shutting down"
"""What the node's Ready condition says."""
REFUSED = EndPod("NodeShutdown", "Pod was rejected as the node is shutting down.", 0.0)
"""What a pod gets that comes too late."""
REASON, MESSAGE = "Terminated", "Pod was terminated in response to imminent node shutdown."


@dataclass(frozen=True, slots=True)
class ShutdownPeriod:
    """`critical_s` is the part of `total_s` that is kept for critical pods. Nothing at all: pods are left alone."""

    total_s: float = 0.0
    critical_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that end together."""

    uids: tuple[str, ...]
    grace_s: float

    @property
    def order(self) -> EndPod:
        return EndPod(REASON, MESSAGE, self.grace_s)


def is_critical(pod: Pod) -> bool:
    return (pod.spec.priority or 0) >= CRITICAL_PRIORITY_MIN


def shutdown_groups(pods: Sequence[Pod], period: ShutdownPeriod) -> list[Group]:
    """One after the other."""
    critical = [pod.metadata.uid for pod in pods if is_critical(pod)]
    ordinary = [pod.metadata.uid for pod in pods if not is_critical(pod)]
    ordinary_s = max(period.total_s - period.critical_s, 0.0)
    groups = (Group(tuple(ordinary), ordinary_s), Group(tuple(critical), period.critical_s))
    return [group for group in groups if group.uids]
