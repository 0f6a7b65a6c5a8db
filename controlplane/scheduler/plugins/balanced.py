"""Prefers nodes where CPU and memory are used to the same degree (NodeResourcesBalancedAllocation).

The standard deviation of two fractions is half their difference.
"""

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import SCORE_MAX
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.plugins.least_allocated import used_fraction
from controlplane.scheduler.snapshot import Column, Snapshot


class Balanced:
    name = "BalancedAllocation"
    weight = 1.0

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: Mask) -> Column | None:
        deviation: Column = np.abs(used_fraction(pod, snapshot, 0) - used_fraction(pod, snapshot, 1)) / 2
        return (1.0 - deviation) * SCORE_MAX
