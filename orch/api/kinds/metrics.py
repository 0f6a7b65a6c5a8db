"""The kinds of the group metrics.k8s.io: read from what the nodes report, never stored."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.metrics import NodeMetrics, PodMetrics

READ_VERBS = ("get", "list")

NODEMETRICS: Kind[NodeMetrics] = Kind(
    group="metrics.k8s.io",
    version="v1beta1",
    kind="NodeMetrics",
    plural="nodes",
    codec=StructCodec(NodeMetrics),
    namespaced=False,
    verbs=READ_VERBS,
)

PODMETRICS: Kind[PodMetrics] = Kind(
    group="metrics.k8s.io",
    version="v1beta1",
    kind="PodMetrics",
    plural="pods",
    codec=StructCodec(PodMetrics),
    verbs=READ_VERBS,
)
