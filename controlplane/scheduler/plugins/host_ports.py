"""Host ports: one pod per node, protocol, port and address."""

from collections.abc import Mapping

import numpy as np

from controlplane.scheduler.demand import ANY_ADDRESS, PodInfo
from controlplane.scheduler.interface import Hint, Rows, all_for
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot

REASON = "node(s) didn't have free ports for the requested pod ports"


class HostPorts:
    name = "NodePorts"
    helped_by = frozenset({Hint.POD_REMOVED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        if not pod.host_ports:
            return None
        mask = np.ones(len(snapshot.nodes), dtype=np.bool_)
        for protocol, port, address in pod.host_ports:
            for held, row in snapshot.port_users(protocol, port):
                if ANY_ADDRESS in (held, address) or held == address:
                    mask[row] = False
        return mask

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        return all_for(REASON, refused)
