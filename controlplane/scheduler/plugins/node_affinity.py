"""nodeSelector and node affinity: required terms filter, preferred terms score."""

from collections.abc import Mapping

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import SCORE_MAX, Hint, Rows, all_for
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Column, Snapshot
from orch.api.node import Node
from orch.api.pod.affinity import NodeAffinity as Rules
from orch.api.pod.spec import Pod
from orch.api.shared import NodeSelectorRequirement, NodeSelectorTerm

REASON = "node(s) didn't match Pod's node affinity/selector"


class NodeAffinity:
    name = "NodeAffinity"
    helped_by = frozenset({Hint.NODE_RELABELLED})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        labels = tuple(sorted((pod.pod.spec.node_selector or {}).items()))
        required = _rules(pod.pod).required_during_scheduling_ignored_during_execution
        if not labels and required is None:
            return None
        terms = None if required is None else required.node_selector_terms

        def matches(node: Node) -> bool:
            own = node.metadata.labels or {}
            return all(own.get(key) == value for key, value in labels) and (
                terms is None or any(term_matches(term, node) for term in terms)
            )

        return snapshot.mask((self.name, labels, terms), matches)

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        return all_for(REASON, refused)


class PreferredNodeAffinity:
    name = "NodeAffinity"
    weight = 2.0

    def score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Column | None:
        preferred = _rules(pod.pod).preferred_during_scheduling_ignored_during_execution
        if not preferred:
            return None
        total = np.zeros(len(rows))
        for weighted in preferred:
            term = weighted.preference or NodeSelectorTerm()
            mask = snapshot.mask((self.name, "prefer", term), lambda node, term=term: term_matches(term, node))  # type: ignore[misc]
            total += weighted.weight * mask[rows]
        top = float(total.max())
        return total * (SCORE_MAX / top) if top > 0 else None


def term_matches(term: NodeSelectorTerm, node: Node) -> bool:
    """All requirements of the term hold; a term without requirements matches nothing (core/v1 NodeSelectorTerm)."""
    labels = node.metadata.labels or {}
    fields = {"metadata.name": node.metadata.name}
    checks = [_holds(requirement, labels) for requirement in term.match_expressions or ()]
    checks += [_holds(requirement, fields) for requirement in term.match_fields or ()]
    return bool(checks) and all(checks)


def _holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement.key), requirement.values or ()
    match requirement.operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" if _is_integer(value) and len(values) == 1 and _is_integer(values[0]):
            assert value is not None
            return int(value) > int(values[0]) if requirement.operator == "Gt" else int(value) < int(values[0])
    return False


def _is_integer(text: str | None) -> bool:
    return text is not None and text.removeprefix("-").isdecimal()


def _rules(pod: Pod) -> Rules:
    affinity = pod.spec.affinity
    return (affinity.node_affinity if affinity else None) or Rules()
