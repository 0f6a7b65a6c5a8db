"""Prefers the node with the most CPU and memory left after the pod (NodeResourcesFit with LeastAllocated)."""

import numpy as np
from numpy.typing import NDArray

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import SCORE_MAX, Rows
from controlplane.scheduler.snapshot import Column, Snapshot


class LeastAllocated:
    name = "LeastAllocated"
    weight = 1.0

    def score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Column | None:
        used = used_fractions(pod, snapshot, rows)
        left: Column = (2.0 - used[0] - used[1]) * (SCORE_MAX / 2)
        return left


def used_fractions(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> NDArray[np.float64]:
    """Shares of CPU (first) and memory in use once the pod is there, at most 1."""
    used = np.take(snapshot.scored, rows, axis=1)
    used += np.array(pod.scored)[:, np.newaxis]
    used /= np.maximum(np.take(snapshot.scored_capacity, rows, axis=1), 1.0)
    return np.minimum(used, 1.0)
