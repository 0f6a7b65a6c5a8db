"""How many pods of a group (one controller's pods) each node runs. Sparse for all groups, a column for recent ones."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

COLUMNS_MAX = 64
"""Groups being scheduled at a time; a column costs 4 bytes per node."""

Counts = NDArray[np.int32]


class GroupCounts:
    def __init__(self) -> None:
        self._sparse: dict[str, dict[int, int]] = {}
        self._columns: OrderedDict[str, Counts] = OrderedDict()

    def add(self, group: str, row: int, difference: int) -> None:
        """`difference` pods more (or fewer) of `group` on `row`."""
        if not group:
            return
        rows = self._sparse.setdefault(group, {})
        rows[row] = rows.get(row, 0) + difference
        if not rows[row]:
            del rows[row]
        if not rows:
            del self._sparse[group]
        column = self._columns.get(group)
        if column is not None:
            column[row] += difference

    def column(self, group: str, rows: int) -> Counts:
        """Pods per row; the caller must not change it."""
        column = self._columns.get(group)
        if column is None or len(column) != rows:
            column = self._columns[group] = np.zeros(rows, dtype=np.int32)
            for row, count in self._sparse.get(group, {}).items():
                column[row] = count
        self._columns.move_to_end(group)
        if len(self._columns) > COLUMNS_MAX:
            self._columns.popitem(last=False)
        return column
