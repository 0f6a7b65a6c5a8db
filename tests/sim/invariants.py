"""What must hold at every step, however bad the times are. A violation is an AssertionError that names its objects."""

from collections.abc import Iterable, Sequence

from controlplane.controllers.deployment.scaling import MAX_REPLICAS, size
from controlplane.controllers.ownership import controller_ref
from controlplane.scheduler.demand import PODS as POD_COUNT
from controlplane.scheduler.demand import amounts, pod_requests
from orch.api.kinds import NODES, PODS, REPLICASETS
from orch.api.pod.spec import Pod
from orch.api.replicaset import ReplicaSet
from orch.client.informer import Informers
from tests.sim.machine import SimMachine

FINAL_PHASES = ("Succeeded", "Failed")


class Invariants:
    """Looks at every change of the store as it happens, through informers of its own, and at the machines."""

    def __init__(self, informers: Informers, machines: Sequence[SimMachine]) -> None:
        self._pods, self._nodes = informers.of(PODS), informers.of(NODES)
        self._sets = informers.of(REPLICASETS)
        self._machines = machines
        self.checks = 0
        self._pods.add_handler(self._pod_changed)
        self._sets.add_handler(self._set_changed)

    def check_machines(self) -> None:
        """A pod runs on one machine at most, and each of its containers once."""
        self.checks += 1
        where: dict[str, str] = {}
        for machine in self._machines:
            for uid in machine.running_uids():
                assert uid not in where, f"pod {uid} runs on {where[uid]} and on {machine.name}"
                where[uid] = machine.name
                names = machine.runtime.running(uid)
                assert len(names) == len(set(names)), f"pod {uid} runs a container twice on {machine.name}: {names}"

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        self.check_machines()
        if new is None:
            return
        if old is not None:
            self._check_history(old, new)
        if new.spec.node_name and (old is None or old.spec.node_name != new.spec.node_name):
            self._check_capacity(new.spec.node_name)

    def _check_history(self, old: Pod, new: Pod) -> None:
        name = f"{new.metadata.namespace}/{new.metadata.name}"
        if old.spec.node_name:
            assert new.spec.node_name == old.spec.node_name, f"pod {name} moved from {old.spec.node_name}"
        if old.status.phase in FINAL_PHASES:
            assert new.status.phase == old.status.phase, (
                f"pod {name} went from {old.status.phase} to {new.status.phase}"
            )
        if old.metadata.deletion_timestamp is not None:
            assert new.metadata.deletion_timestamp is not None, f"pod {name} is not deleted any more"

    def _check_capacity(self, node_name: str) -> None:
        node = self._nodes.get("", node_name)
        if node is None:
            return
        here = [pod for pod in self._pods.items() if pod.spec.node_name == node_name]
        held = [pod_requests(pod) | {POD_COUNT: 1} for pod in here if pod.status.phase not in FINAL_PHASES]
        for resource, amount in amounts(node.status.allocatable).items():
            used = sum(each.get(resource, 0) for each in held)
            assert used <= amount, f"{node_name} holds {used} of {amount} {resource}"

    def _set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        """A set that grows keeps all sets of its Deployment within replicas + maxSurge, as it notes them."""
        if new is None or (old is not None and size(new) <= size(old)):
            return
        maximum = (new.metadata.annotations or {}).get(MAX_REPLICAS)
        if maximum is None:
            return
        total = sum(size(each) for each in self._siblings(new))
        assert total <= int(maximum), f"{new.metadata.name} grew to {size(new)}: {total} of at most {maximum} in all"

    def _siblings(self, replica_set: ReplicaSet) -> Iterable[ReplicaSet]:
        owner = controller_ref(replica_set)
        for each in self._sets.by_namespace(replica_set.metadata.namespace):
            ref = controller_ref(each)
            if owner is not None and ref is not None and ref.uid == owner.uid:
                yield each
