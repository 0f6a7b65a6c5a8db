"""One scheduling decision: snapshot + pod -> where it goes, or why nowhere. Pure; changes nothing.

Invariant: equal snapshots, pods and `tie` give equal decisions.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Filter, Hint, Placement, Score, Unschedulable
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot


def schedule(
    pod: PodInfo, snapshot: Snapshot, filters: Sequence[Filter], scores: Sequence[Score], tie: float
) -> Placement | Unschedulable:
    """`tie` in [0, 1) chooses among nodes of equal score."""
    feasible = snapshot.present.copy()
    for plugin in filters:
        mask = plugin.filter(pod, snapshot)
        if mask is not None:
            feasible &= mask
    if not feasible.any():
        return explain(pod, snapshot, filters)
    return _best(pod, snapshot, scores, feasible, tie)


def _best(pod: PodInfo, snapshot: Snapshot, scores: Sequence[Score], feasible: Mask, tie: float) -> Placement:
    total = np.zeros(len(feasible))
    for plugin in scores:
        column = plugin.score(pod, snapshot, feasible)
        if column is not None:
            total += plugin.weight * column
    total[~feasible] = -np.inf
    top = total.max()
    best = np.flatnonzero(total == top)
    node = snapshot.nodes[int(best[int(tie * len(best))])]
    assert node is not None
    return Placement(node.metadata.name, float(top))


def explain(pod: PodInfo, snapshot: Snapshot, filters: Sequence[Filter]) -> Unschedulable:
    """Every node counts for the first filter that refuses it, as in Kubernetes."""
    left = snapshot.present.copy()
    reasons: Counter[str] = Counter()
    helped_by = {Hint.NODE_ADDED}
    for plugin in filters:
        mask = plugin.filter(pod, snapshot)
        refused = np.flatnonzero(left & ~mask) if mask is not None else np.empty(0, dtype=np.intp)
        if refused.size:
            reasons.update(plugin.explain(pod, snapshot, refused))
            helped_by |= plugin.helped_by
            left[refused] = False
    return Unschedulable(len(snapshot.rows), reasons, frozenset(helped_by))
