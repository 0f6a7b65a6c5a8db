"""Boolean columns that many pods share: one per distinct question about nodes, such as a node selector.

A question is asked of every node once, then of a node again only when that node changes, so that a pod whose selector
was seen before costs one lookup. Must not answer questions that depend on anything but the node.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from orch.api.node import Node

Mask = NDArray[np.bool_]
Question = Callable[[Node], bool]

QUESTIONS_MAX = 512


class Masks:
    """The least recently used questions are forgotten beyond `QUESTIONS_MAX`."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[Question, Mask]] = OrderedDict()

    def get(self, key: Hashable, question: Question, nodes: Sequence[Node | None]) -> Mask:
        """One answer per row; equal keys must stand for equal questions."""
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known[1]
        mask = np.fromiter((node is not None and question(node) for node in nodes), dtype=np.bool_, count=len(nodes))
        self._known[key] = (question, mask)
        if len(self._known) > QUESTIONS_MAX:
            self._known.popitem(last=False)
        return mask

    def node_changed(self, row: int, node: Node) -> None:
        for question, mask in self._known.values():
            mask[row] = question(node)

    def forget(self) -> None:
        """The number of rows changed."""
        self._known.clear()
