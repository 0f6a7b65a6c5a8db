"""Prefers nodes where CPU and memory are used to the same degree (NodeResourcesBalancedAllocation).

The standard deviation of two fractions is half their difference.
"""

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import SCORE_MAX, Rows
from controlplane.scheduler.plugins.least_allocated import used_fractions
from controlplane.scheduler.snapshot import Column, Snapshot


class Balanced:
    name = "BalancedAllocation"
    weight = 1.0

    def score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Column | None:
        used = used_fractions(pod, snapshot, rows)
        balance: Column = 1.0 - np.abs(used[0] - used[1]) / 2
        return balance * SCORE_MAX
