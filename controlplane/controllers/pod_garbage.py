"""Pods that nobody needs: bound to a node that does not exist any more, or finished and beyond the bound.

Invariant: a pod is removed for its node's absence only after a fresh read shows that the node is absent.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from controlplane.controllers.actions import NOTHING, Decision, Delete, Reference
from controlplane.controllers.podstate import index_by_node, is_finished, pods_on_node
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.kinds import NODES, PODS
from orch.api.node import Node
from orch.api.pod.spec import Pod
from orch.client.informer import Informers, Key

FINISHED_PODS_MAX = 12_500
"""As kube-controller-manager's --terminated-pod-gc-threshold."""
FINISHED_KEY = ("", "finished pods")
FINISHED_INDEX = "finished"


def reconcile(pod: Pod, node_exists: bool) -> Decision:
    node = pod.spec.node_name
    if not node or node_exists:
        return NOTHING
    metadata, gone = pod.metadata, Reference(NODES, "", node)
    removal = Delete(PODS, metadata.namespace, metadata.name, metadata.uid, grace_period_s=0, absent=(gone,))
    return Decision((removal,))


def reconcile_finished(finished: Sequence[Pod], bound: int) -> Decision:
    """The oldest beyond the bound go."""
    surplus = len(finished) - bound
    if surplus <= 0:
        return NOTHING
    oldest = sorted(finished, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.uid))[:surplus]
    return Decision(
        tuple(Delete(PODS, each.metadata.namespace, each.metadata.name, each.metadata.uid) for each in oldest)
    )


def pod_garbage_controller(informers: Informers) -> Controller:
    pods, nodes = informers.of(PODS), informers.of(NODES)
    index_by_node(pods)
    finished = pods.add_index(FINISHED_INDEX, lambda pod: (FINISHED_INDEX,) if is_finished(pod) else ())

    def decide(key: Key, now: datetime) -> Decision:
        if key == FINISHED_KEY:
            return reconcile_finished(finished.get(FINISHED_INDEX), FINISHED_PODS_MAX)
        pod = pods.get(*key)
        return reconcile(pod, nodes.get("", pod.spec.node_name or "") is not None) if pod else NOTHING

    def keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        if new is None:
            return
        if new.spec.node_name and nodes.get("", new.spec.node_name) is None:
            yield from own_key(None, new)
        if is_finished(new) and finished.count(FINISHED_INDEX) > FINISHED_PODS_MAX:
            yield FINISHED_KEY

    def keys_of_node(old: Node | None, new: Node | None) -> Iterable[Key]:
        if new is None and old is not None:
            for pod in pods_on_node(pods, old.metadata.name):
                yield from own_key(None, pod)

    return Controller("pod-garbage", PODS, (Watch(pods, keys_of_pod), Watch(nodes, keys_of_node)), decide)
