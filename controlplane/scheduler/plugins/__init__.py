"""The scheduler's plugins, one small file each. This is the one place that registers them, in order.

Filters stand in the order in which Kubernetes runs them: a node is counted for the first that refuses it.
"""

from controlplane.scheduler.interface import Filter, Score
from controlplane.scheduler.plugins.balanced import Balanced
from controlplane.scheduler.plugins.host_ports import HostPorts
from controlplane.scheduler.plugins.least_allocated import LeastAllocated
from controlplane.scheduler.plugins.node_affinity import NodeAffinity, PreferredNodeAffinity
from controlplane.scheduler.plugins.node_name import NodeName
from controlplane.scheduler.plugins.node_unschedulable import NodeUnschedulable
from controlplane.scheduler.plugins.resources import Resources
from controlplane.scheduler.plugins.spreading import Spreading
from controlplane.scheduler.plugins.taints import PreferNoTaints, Taints
from controlplane.scheduler.plugins.volume_binding import VolumeBinding
from controlplane.scheduler.plugins.volume_restrictions import VolumeRestrictions

FILTERS: tuple[Filter, ...] = (
    NodeUnschedulable(),
    NodeName(),
    Taints(),
    NodeAffinity(),
    HostPorts(),
    Resources(),
    VolumeRestrictions(),
    VolumeBinding(),
)
SCORES: tuple[Score, ...] = (PreferNoTaints(), PreferredNodeAffinity(), Spreading(), LeastAllocated(), Balanced())
