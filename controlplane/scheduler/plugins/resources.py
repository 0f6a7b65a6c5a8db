"""Resource requests fit into what a node has free, every resource alike, the number of pods included."""

from collections.abc import Mapping

import numpy as np

from controlplane.scheduler.demand import PODS, PodInfo
from controlplane.scheduler.interface import Hint, Rows
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot

REASON = "Insufficient %s"
REASON_PODS = "Too many pods"


class Resources:
    name = "NodeResourcesFit"
    helped_by = frozenset({Hint.NODE_GREW, Hint.POD_REMOVED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        mask = np.ones(len(snapshot.nodes), dtype=np.bool_)
        for resource, amount in pod.requests.items():
            free = snapshot.free(resource)
            mask &= False if free is None else free >= amount
        return mask

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        reasons = {}
        for resource, amount in pod.requests.items():
            free = snapshot.free(resource)
            short = len(refused) if free is None else int(np.count_nonzero(free[refused] < amount))
            if short:
                reasons[REASON_PODS if resource == PODS else REASON % resource] = short
        return reasons
