"""The cluster as the scheduler sees it: NumPy columns with one row per node, kept up to date by single changes.

Must not decide anything and knows no plugin. A pod counts on its node from the moment it is assumed there until it is
removed, also while the node itself is unknown.

Invariant: for every node, `free` = its allocatable amounts minus the requests of the pods recorded on it.
"""

from collections import Counter
from collections.abc import Hashable

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from controlplane.scheduler.demand import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, HostPort, PodInfo, amounts
from controlplane.scheduler.groups import Counts, GroupCounts
from controlplane.scheduler.masks import Mask, Masks, Question
from controlplane.scheduler.storage import Storage
from orch.api.node import Node
from orch.api.shared import Taint

Column = NDArray[np.float64]
"""float64 is exact for integers up to 2^53, so for bytes of memory."""

ROWS_MIN = 64


class Snapshot:
    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.nodes: list[Node | None] = [None] * ROWS_MIN
        self.present: Mask = np.zeros(ROWS_MIN, dtype=np.bool_)
        self._resources = {CPU: 0, MEMORY: 1, EPHEMERAL_STORAGE: 2, PODS: 3}
        self._allocatable = np.zeros((len(self._resources), ROWS_MIN))
        self._free = np.zeros((len(self._resources), ROWS_MIN))
        self._scored = np.zeros((2, ROWS_MIN))
        self._vacant = list(range(ROWS_MIN - 1, -1, -1))
        self._masks = Masks()
        self._groups = GroupCounts()
        self._pods: dict[str, tuple[str, PodInfo]] = {}
        self._on_node: dict[str, dict[str, PodInfo]] = {}
        self._ports: dict[tuple[str, int], dict[tuple[str, int], int]] = {}
        self._claim_users: Counter[tuple[str, str]] = Counter()
        self.storage = Storage()

    # What plugins read.

    def free(self, resource: str) -> Column | None:
        """Free amount per row; None when no node and no pod ever named the resource."""
        index = self._resources.get(resource)
        return None if index is None else self._free[index]

    @property
    def scored_capacity(self) -> NDArray[np.float64]:
        """Allocatable CPU and memory, one row each."""
        return self._allocatable[:2]

    @property
    def scored(self) -> NDArray[np.float64]:
        """CPU and memory that scoring counts as taken, one row each: requests, or defaults where there are none."""
        return self._scored

    def mask(self, key: Hashable, question: Question) -> Mask:
        """The answers of all nodes; remembered under `key`, which must tell questions apart."""
        return self._masks.get(key, question, self.nodes)

    def group_counts(self, group: str) -> Counts:
        return self._groups.column(group, len(self.nodes))

    def port_users(self, protocol: str, port: int) -> dict[tuple[str, int], int]:
        """(address, row) -> pods that hold the port there."""
        return self._ports.get((protocol, port), {})

    def claim_users(self, namespace: str, name: str) -> int:
        """How many pods that are recorded use the claim."""
        return self._claim_users[namespace, name]

    def node_of(self, uid: str) -> str | None:
        """Name of the node that the pod is recorded on."""
        placed = self._pods.get(uid)
        return placed[0] if placed else None

    # What changes it.

    def put_node(self, node: Node) -> None:
        name = node.metadata.name
        row = self.rows.get(name)
        if row is None:
            row = self._take_row(name)
        before, self.nodes[row] = self.nodes[row], node
        self._set_allocatable(row, amounts(node.status.allocatable or node.status.capacity))
        if before is None or questions_change(before, node):
            self._masks.node_changed(row, node)
        if before is None:
            for info in self._on_node.get(name, {}).values():
                self._count(row, info, 1)

    def remove_node(self, name: str) -> None:
        """Its pods stay recorded, and count again should the node return."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        for info in self._on_node.get(name, {}).values():
            self._count(row, info, -1)
        self.nodes[row], self.present[row] = None, False
        self._allocatable[:, row] = self._free[:, row] = self._scored[:, row] = 0
        self._vacant.append(row)

    def put_pod(self, info: PodInfo, node_name: str) -> None:
        """Records a pod on a node, in place of what was recorded of it."""
        self.remove_pod(info.uid)
        self._pods[info.uid] = (node_name, info)
        self._on_node.setdefault(node_name, {})[info.uid] = info
        self._count_claims(info, 1)
        row = self.rows.get(node_name)
        if row is not None:
            self._count(row, info, 1)

    def remove_pod(self, uid: str) -> bool:
        """Whether it was recorded."""
        placed = self._pods.pop(uid, None)
        if placed is None:
            return False
        node_name, info = placed
        self._count_claims(info, -1)
        on_node = self._on_node[node_name]
        del on_node[uid]
        if not on_node:
            del self._on_node[node_name]
        row = self.rows.get(node_name)
        if row is not None:
            self._count(row, info, -1)
        return True

    def _count(self, row: int, info: PodInfo, sign: int) -> None:
        for resource, amount in info.requests.items():
            self._free[self._resource(resource), row] -= sign * amount
        self._scored[0, row] += sign * info.scored[0]
        self._scored[1, row] += sign * info.scored[1]
        self._groups.add(info.group, row, sign)
        for port in info.host_ports:
            self._count_port(row, port, sign)

    def _count_claims(self, info: PodInfo, sign: int) -> None:
        for name in info.claims:
            claim = (info.pod.metadata.namespace, name)
            self._claim_users[claim] += sign
            if not self._claim_users[claim]:
                del self._claim_users[claim]

    def _count_port(self, row: int, port: HostPort, sign: int) -> None:
        protocol, number, address = port
        users = self._ports.setdefault((protocol, number), {})
        users[address, row] = users.get((address, row), 0) + sign
        if not users[address, row]:
            del users[address, row]
        if not users:
            del self._ports[protocol, number]

    def _set_allocatable(self, row: int, amounts_now: dict[str, int]) -> None:
        for resource in amounts_now:
            self._resource(resource)
        for resource, index in self._resources.items():
            amount = float(amounts_now.get(resource, 0))
            self._free[index, row] += amount - self._allocatable[index, row]
            self._allocatable[index, row] = amount

    def _resource(self, name: str) -> int:
        index = self._resources.get(name)
        if index is None:
            index = self._resources[name] = len(self._resources)
            empty = np.zeros((1, len(self.nodes)))
            self._allocatable = np.vstack((self._allocatable, empty))
            self._free = np.vstack((self._free, empty))
        return index

    def _take_row(self, name: str) -> int:
        if not self._vacant:
            self._grow()
        row = self.rows[name] = self._vacant.pop()
        self.present[row] = True
        return row

    def _grow(self) -> None:
        rows = len(self.nodes)
        self.nodes.extend([None] * rows)
        self.present = np.concatenate((self.present, np.zeros(rows, dtype=np.bool_)))
        self._allocatable, self._free, self._scored = (
            np.hstack((columns, np.zeros_like(columns))) for columns in (self._allocatable, self._free, self._scored)
        )
        self._vacant = list(range(2 * rows - 1, rows - 1, -1))
        self._masks.forget()


def taints_of(node: Node) -> tuple[Taint, ...]:
    """Without the times at which they were added, which no toleration asks for."""
    return tuple(replace(taint, time_added=None) for taint in node.spec.taints or ())


def questions_change(before: Node, after: Node) -> bool:
    """Whether a question about a node may have a new answer: a mask must depend on nothing else."""
    return (
        before.metadata.labels != after.metadata.labels
        or before.spec.unschedulable != after.spec.unschedulable
        or taints_of(before) != taints_of(after)
    )
