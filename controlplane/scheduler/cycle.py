"""One scheduling decision: snapshot + pod -> where it goes, or why nowhere. Pure; changes nothing.

Invariant: equal snapshots, pods and `tie` give equal decisions.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.interface import Filter, Hint, Placement, Rows, Score, Unschedulable
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Snapshot

SCORED_NODES_MAX = 512
"""kube-scheduler scores about as many of 5,000 nodes (percentageOfNodesToScore)."""


def schedule(
    pod: PodInfo, snapshot: Snapshot, filters: Sequence[Filter], scores: Sequence[Score], tie: float
) -> Placement | Unschedulable:
    """`tie` in [0, 1) chooses among nodes of equal score, and which nodes are scored where very many are feasible."""
    feasible = snapshot.present.copy()
    for plugin in filters:
        mask = plugin.filter(pod, snapshot)
        if mask is not None:
            feasible &= mask
    if not feasible.any():
        return explain(pod, snapshot, filters)
    return _best(pod, snapshot, scores, _sample(feasible, tie), tie)


def _best(pod: PodInfo, snapshot: Snapshot, scores: Sequence[Score], rows: Rows, tie: float) -> Placement:
    total = np.zeros(len(rows))
    for plugin in scores:
        column = plugin.score(pod, snapshot, rows)
        if column is not None:
            total += plugin.weight * column
    top = total.max()
    best = np.flatnonzero(total == top)
    node = snapshot.nodes[int(rows[best[int(tie * len(best))]])]
    assert node is not None
    return Placement(node.metadata.name, float(top))


def _sample(feasible: Mask, tie: float) -> Rows:
    """The feasible rows, or so many of them from a random one on: more to choose from would not choose much better."""
    rows = np.flatnonzero(feasible)
    if len(rows) <= SCORED_NODES_MAX:
        return rows
    return np.take(rows, np.arange(SCORED_NODES_MAX) + int(tie * len(rows)), mode="wrap")


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
