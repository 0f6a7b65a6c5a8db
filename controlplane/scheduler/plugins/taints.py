"""Taints: NoSchedule and NoExecute keep pods away that do not tolerate them, PreferNoSchedule makes a node worse."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import SCORE_MAX, Hint, Rows
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Column, Snapshot
from orch.api.node import Node
from orch.api.shared import Taint, Toleration
from orch.api.tolerations import tolerated

REASON = "node(s) had untolerated taint {%s: %s}"
HARD_EFFECTS = ("NoSchedule", "NoExecute")
SOFT_EFFECTS = ("PreferNoSchedule",)


class Taints:
    name = "TaintToleration"
    helped_by = frozenset({Hint.NODE_TAINTS_CHANGED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        tolerations = pod.pod.spec.tolerations or ()
        return snapshot.mask((self.name, tolerations), lambda node: untolerated(node, tolerations) is None)

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        reasons: Counter[str] = Counter()
        for row in refused:
            node = snapshot.nodes[row]
            taint = untolerated(node, pod.pod.spec.tolerations or ()) if node else None
            if taint is not None:
                reasons[REASON % (taint.key, taint.value or "")] += 1
        return reasons


class PreferNoTaints:
    name = "TaintToleration"
    weight = 3.0

    def score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Column | None:
        tolerations = pod.pod.spec.tolerations or ()
        liked = snapshot.mask(
            (self.name, "prefer", tolerations), lambda node: untolerated(node, tolerations, SOFT_EFFECTS) is None
        )
        chosen = liked[rows]
        return None if chosen.all() else chosen.astype(np.float64) * SCORE_MAX


def untolerated(
    node: Node, tolerations: tuple[Toleration, ...], effects: tuple[str, ...] = HARD_EFFECTS
) -> Taint | None:
    """The first taint of one of `effects` that is not tolerated."""
    return next(
        (taint for taint in node.spec.taints or () if taint.effect in effects and not tolerated(taint, tolerations)),
        None,
    )
