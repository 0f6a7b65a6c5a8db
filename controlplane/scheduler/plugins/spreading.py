"""Spreads the pods of one controller over nodes: the fewer of them a node runs, the better."""

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import SCORE_MAX, Rows
from controlplane.scheduler.snapshot import Column, Snapshot


class Spreading:
    name = "PodTopologySpread"
    weight = 2.0

    def score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Column | None:
        if not pod.group:
            return None
        counts = snapshot.group_counts(pod.group)[rows]
        most = int(counts.max())
        return (most - counts).astype(np.float64) * (SCORE_MAX / most) if most else None
