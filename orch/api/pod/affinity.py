"""Affinity rules of a pod (core/v1)."""

from orch.api.base import ApiStruct, Int32, always
from orch.api.meta import LabelSelector
from orch.api.shared import NodeSelector, NodeSelectorTerm


class PreferredSchedulingTerm(ApiStruct):
    preference: NodeSelectorTerm = always(NodeSelectorTerm())
    weight: Int32 = always(0)


class NodeAffinity(ApiStruct):
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] | None = None
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class PodAffinityTerm(ApiStruct):
    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] | None = None
    mismatch_label_keys: tuple[str, ...] | None = None
    namespace_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] | None = None
    topology_key: str = always("")


class WeightedPodAffinityTerm(ApiStruct):
    pod_affinity_term: PodAffinityTerm = always(PodAffinityTerm())
    weight: Int32 = always(0)


class PodAffinity(ApiStruct):
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] | None = None
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] | None = None


class PodAntiAffinity(ApiStruct):
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] | None = None
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] | None = None


class Affinity(ApiStruct):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None
