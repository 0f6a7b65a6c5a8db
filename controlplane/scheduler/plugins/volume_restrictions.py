"""A claim with the access mode ReadWriteOncePod serves one pod at a time."""

from collections.abc import Mapping

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Hint, Rows, all_for
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot
from orch.api.persistentvolumeclaim import SINGLE_POD

REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


class VolumeRestrictions:
    name = "VolumeRestrictions"
    helped_by = frozenset({Hint.POD_REMOVED, Hint.STORAGE_CHANGED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        namespace = pod.pod.metadata.namespace
        for name in pod.claims:
            claim = snapshot.storage.claim(namespace, name)
            alone = claim is not None and SINGLE_POD in (claim.spec.access_modes or ())
            if alone and snapshot.claim_users(namespace, name):
                return np.zeros(len(snapshot.nodes), dtype=np.bool_)
        return None

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        return all_for(REASON, refused)
