"""Keeps pods off cordoned nodes (spec.unschedulable), unless they tolerate the taint that stands for it."""

from collections.abc import Mapping

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Hint, Rows, all_for
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot
from orch.api.node import Node
from orch.api.shared import Taint
from orch.api.tolerations import tolerated

REASON = "node(s) were unschedulable"
TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


class NodeUnschedulable:
    name = "NodeUnschedulable"
    helped_by = frozenset({Hint.NODE_TAINTS_CHANGED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        if tolerated(TAINT, pod.pod.spec.tolerations or ()):
            return None
        return snapshot.mask(self.name, _schedulable)

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        return all_for(REASON, refused)


def _schedulable(node: Node) -> bool:
    return not node.spec.unschedulable
