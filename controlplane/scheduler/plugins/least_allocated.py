"""Prefers the node with the most CPU and memory left after the pod (NodeResourcesFit with LeastAllocated)."""

import numpy as np

from controlplane.scheduler.demand import CPU, MEMORY, PodInfo
from controlplane.scheduler.interface import SCORE_MAX
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Column, Snapshot


class LeastAllocated:
    name = "LeastAllocated"
    weight = 1.0

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: Mask) -> Column | None:
        left = 2.0 - used_fraction(pod, snapshot, 0) - used_fraction(pod, snapshot, 1)
        return left * (SCORE_MAX / 2)


def used_fraction(pod: PodInfo, snapshot: Snapshot, index: int) -> Column:
    """Share of CPU (0) or memory (1) in use once the pod is there, at most 1."""
    allocatable = snapshot.allocatable((CPU, MEMORY)[index])
    assert allocatable is not None
    used: Column = (snapshot.scored[index] + pod.scored[index]) / np.maximum(allocatable, 1.0)
    return np.minimum(used, 1.0)
