"""A pod that names its node goes there. (Such pods come bound from the API; the filter holds for any that does not.)"""

from collections.abc import Mapping

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Hint, Rows, all_for
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot

REASON = "node(s) didn't match the requested node name"


class NodeName:
    name = "NodeName"
    helped_by = frozenset({Hint.NODE_ADDED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        wanted = pod.pod.spec.node_name
        if not wanted:
            return None
        mask = np.zeros(len(snapshot.nodes), dtype=np.bool_)
        if wanted in snapshot.rows:
            mask[snapshot.rows[wanted]] = True
        return mask

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        return all_for(REASON, refused)
