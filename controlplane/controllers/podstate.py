"""What controllers ask of a pod: where is it, is it active, ready, available? Pure (pkg/api/v1/pod/util.go)."""

from datetime import datetime, timedelta

from orch.api.pod import status as pod_status
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition
from orch.client.informer import Informer

NODE_INDEX = "node"


def index_by_node(pods: Informer[Pod]) -> None:
    pods.add_index(NODE_INDEX, lambda pod: (pod.spec.node_name,) if pod.spec.node_name else ())


def pods_on_node(pods: Informer[Pod], node: str) -> tuple[Pod, ...]:
    return pods.indexed(NODE_INDEX, node)


def is_finished(pod: Pod) -> bool:
    return pod_status.is_finished(pod.status)


def is_active(pod: Pod) -> bool:
    """It counts as a replica: neither finished nor being deleted."""
    return not is_finished(pod) and pod.metadata.deletion_timestamp is None


def ready_condition(pod: Pod) -> PodCondition | None:
    return pod_status.ready_condition(pod.status)


def is_ready(pod: Pod) -> bool:
    return pod_status.is_ready(pod.status)


def available_at(pod: Pod, min_ready_seconds: int) -> datetime | None:
    """When the pod is, or was, ready for long enough; None when it is not ready."""
    condition = ready_condition(pod)
    if condition is None or condition.status != "True":
        return None
    since = condition.last_transition_time
    if since is None:
        return None if min_ready_seconds else pod.metadata.creation_timestamp
    return since + timedelta(seconds=min_ready_seconds)


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    if not min_ready_seconds:
        return is_ready(pod)
    moment = available_at(pod, min_ready_seconds)
    return moment is not None and moment <= now
