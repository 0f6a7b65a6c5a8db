"""What a scheduler plugin is: a filter or a score over the snapshot's columns. It is given nothing else to reach with.

    snapshot --> filters: which nodes fit --> scores: how good each is, 0 to 100, weighted --> the best node

A filter says with which events a pod that it refused may fit after all (`helped_by`); only those wake the pod.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.masks import Mask
from controlplane.scheduler.snapshot import Column, Snapshot

SCORE_MAX = 100.0

Rows = NDArray[np.intp]


class Hint(Enum):
    """What happened in the cluster, as far as it can help a pod that fits nowhere."""

    NODE_ADDED = auto()
    NODE_GREW = auto()
    """A node's allocatable amounts rose."""
    NODE_RELABELLED = auto()
    NODE_TAINTS_CHANGED = auto()
    """Taints or spec.unschedulable."""
    POD_REMOVED = auto()
    """A pod freed what it held on a node."""
    STORAGE_CHANGED = auto()
    """A claim, volume or storage class came or changed."""


class Filter(Protocol):
    name: str
    helped_by: frozenset[Hint]

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The rows that fit; None: all of them. The caller must not change the result."""

    def explain(self, pod: PodInfo, snapshot: Snapshot, refused: Rows) -> Mapping[str, int]:
        """Reason -> nodes, for rows that `filter` refused; 0 when it is about the pod alone. Texts are those of
        Kubernetes."""


class Score(Protocol):
    name: str
    weight: float

    def score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Column | None:
        """0 to SCORE_MAX for each of the rows, larger is better; None: all alike."""


@dataclass(frozen=True, slots=True)
class Placement:
    node: str
    score: float


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """Fits nowhere. A node may count for several reasons of the filter that refused it first."""

    nodes: int
    reasons: Mapping[str, int]
    helped_by: frozenset[Hint]

    @property
    def message(self) -> str:
        """As kube-scheduler words it."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        reasons = ", ".join(sorted(f"{count} {reason}" if count else reason for reason, count in self.reasons.items()))
        return f"0/{self.nodes} nodes are available: {reasons}."


def all_for(reason: str, refused: Rows) -> Mapping[str, int]:
    """The explanation of a filter with one constant reason."""
    return Counter({reason: len(refused)})
