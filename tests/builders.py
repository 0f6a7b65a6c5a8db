"""Objects for tests, each with the fields a test is about and sensible values elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from msgspec.structs import replace

from orch.api.deployment import Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from orch.api.meta import LabelSelector, Object, ObjectMeta, OwnerReference
from orch.api.node import Node, NodeCondition, NodeSpec, NodeStatus
from orch.api.pod.container import Container, ContainerPort
from orch.api.pod.spec import Pod, PodSpec, PodTemplateSpec
from orch.api.pod.status import PodCondition, PodIP, PodStatus
from orch.api.replicaset import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.api.shared import ResourceRequirements, Taint, Toleration

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
_REVISIONS = count(1)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def meta(name: str, namespace: str = "default", **fields: Any) -> ObjectMeta:
    """Uid `<name>-uid`, created an hour before NOW, a resourceVersion of its own."""
    known = {
        "uid": f"{name}-uid",
        "creation_timestamp": ago(3600),
        "resource_version": str(next(_REVISIONS)),
        "generation": 1,
    }
    return ObjectMeta(name=name, namespace=namespace, **(known | fields))


def owned_by(owner: Object, *, controller: bool = True) -> tuple[OwnerReference, ...]:
    return (
        OwnerReference(
            api_version=owner.api_version, kind=owner.kind, name=owner.metadata.name, uid=owner.metadata.uid,
            controller=controller, block_owner_deletion=True,
        ),
    )  # fmt: skip


def container(name: str = "app", *, cpu: str = "", memory: str = "", ports: Sequence[ContainerPort] = ()) -> Container:
    requests = {key: amount for key, amount in (("cpu", cpu), ("memory", memory)) if amount}
    return Container(
        name=name, image="app:1", resources=ResourceRequirements(requests=requests or None), ports=tuple(ports) or None
    )


def pod(
    name: str = "pod",
    *,
    node: str = "",
    phase: str = "Pending",
    ready: bool | None = None,
    ready_since: datetime | None = None,
    ip: str = "",
    labels: Mapping[str, str] | None = None,
    owner: Object | None = None,
    cpu: str = "",
    memory: str = "",
    ports: Sequence[ContainerPort] = (),
    tolerations: Sequence[Toleration] = (),
    spec: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Pod:
    """`spec` are further fields of the spec; everything else unknown is metadata. `ready` sets the Ready condition."""
    conditions = ready_condition(ready, ready_since) if ready is not None else None
    return Pod(
        metadata=meta(
            name, labels=dict(labels or {}) or None, owner_references=owned_by(owner) if owner else None, **metadata
        ),
        spec=PodSpec(
            containers=(container(cpu=cpu, memory=memory, ports=ports),),
            node_name=node or None,
            tolerations=tuple(tolerations) or None,
            **(spec or {}),
        ),
        status=PodStatus(
            phase=phase, conditions=conditions, pod_ip=ip or None, pod_ips=(PodIP(ip=ip),) if ip else None
        ),
    )


def ready_condition(ready: bool, since: datetime | None = None) -> tuple[PodCondition, ...]:
    status = "True" if ready else "False"
    return (PodCondition(type="Ready", status=status, last_transition_time=since or ago(600)),)


def running_pod(name: str, *, node: str = "node-1", ip: str = "10.244.0.5", ready: bool = True, **fields: Any) -> Pod:
    return pod(name, node=node, phase="Running", ready=ready, ip=ip, **fields)


def node(
    name: str = "node-1",
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    unschedulable: bool | None = None,
    ready: str = "True",
    ready_since: datetime | None = None,
    **allocatable: str,
) -> Node:
    amounts = {"cpu": cpu, "memory": memory, "pods": str(pods)} | allocatable
    return Node(
        metadata=meta(name, namespace="", labels={"kubernetes.io/hostname": name} | dict(labels or {})),
        spec=NodeSpec(taints=tuple(taints) or None, unschedulable=unschedulable),
        status=NodeStatus(
            allocatable=amounts,
            capacity=amounts,
            conditions=(NodeCondition(type="Ready", status=ready, last_transition_time=ready_since or ago(600)),),
        ),
    )


def template(app: str = "web", *, image: str = "app:1") -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": app}), spec=PodSpec(containers=(Container(name="app", image=image),))
    )


def replica_set(
    name: str = "web-1",
    *,
    replicas: int = 3,
    app: str = "web",
    image: str = "app:1",
    owner: Object | None = None,
    min_ready_seconds: int | None = None,
    observed: int | None = None,
    ready: int = 0,
    available: int | None = None,
    **metadata: Any,
) -> ReplicaSet:
    """`observed`: status.replicas, by default what is wanted; `available` by default what is ready."""
    return ReplicaSet(
        metadata=meta(
            name, owner_references=owned_by(owner) if owner else None, **({"labels": {"app": app}} | metadata)
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels={"app": app}),
            template=template(app, image=image),
            min_ready_seconds=min_ready_seconds,
        ),
        status=ReplicaSetStatus(
            replicas=replicas if observed is None else observed,
            ready_replicas=ready or None,
            available_replicas=(ready if available is None else available) or None,
            observed_generation=1,
        ),
    )


def deployment(
    name: str = "web",
    *,
    replicas: int = 3,
    image: str = "app:1",
    strategy: str = "RollingUpdate",
    max_surge: int | str = "25%",
    max_unavailable: int | str = "25%",
    spec: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Deployment:
    rolling = RollingUpdateDeployment(max_surge=max_surge, max_unavailable=max_unavailable)
    fields: dict[str, Any] = {
        "replicas": replicas,
        "selector": LabelSelector(match_labels={"app": name}),
        "template": template(name, image=image),
        "strategy": DeploymentStrategy(type=strategy, rolling_update=rolling if strategy == "RollingUpdate" else None),
        "progress_deadline_seconds": 600,
        "revision_history_limit": 10,
    }
    return Deployment(metadata=meta(name, **metadata), spec=DeploymentSpec(**(fields | dict(spec or {}))))


def service(
    name: str = "web",
    *,
    selector: Mapping[str, str] | None = None,
    ports: Sequence[ServicePort] = (ServicePort(name="http", port=80, protocol="TCP", target_port=8080),),
    **spec: Any,
) -> Service:
    selected = {"app": name} if selector is None else dict(selector)
    known = {"cluster_ip": "10.96.0.7", "type": "ClusterIP", "ip_families": ("IPv4",)}
    return Service(
        metadata=meta(name), spec=ServiceSpec(selector=selected or None, ports=tuple(ports) or None, **(known | spec))
    )


def deleting(obj: Any, since: datetime = NOW, *, grace_s: int = 30) -> Any:
    """The object with a deletion timestamp."""
    metadata = replace(obj.metadata, deletion_timestamp=since, deletion_grace_period_seconds=grace_s)
    return replace(obj, metadata=metadata)
