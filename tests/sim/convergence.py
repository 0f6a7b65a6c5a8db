"""What must be true once the faults have ended and time has passed: the cluster is what its users asked for."""

from collections.abc import Iterator, Sequence

from controlplane.controllers.backends import SERVICE_NAME
from controlplane.controllers.deployment.scaling import size, wanted
from controlplane.controllers.ownership import controller_ref
from controlplane.controllers.podstate import is_ready
from orch.api.deployment import Deployment
from orch.api.kinds import DEPLOYMENTS, ENDPOINTS, ENDPOINTSLICES, NAMESPACES, NODES, PODS, REPLICASETS, SERVICES
from orch.api.pod.spec import Pod
from orch.api.selectors import from_labels
from orch.api.service import Service
from orch.client.informer import Informers
from tests.sim.machine import SimMachine


def differences(informers: Informers, machines: Sequence[SimMachine]) -> list[str]:
    """Everything that is not as it should be, in words; empty: converged."""
    return [
        *_of_nodes(informers),
        *_of_namespaces(informers),
        *(each for deployment in informers.of(DEPLOYMENTS).items() for each in _of_deployment(informers, deployment)),
        *_of_pods(informers, machines),
        *(each for service in informers.of(SERVICES).items() for each in _of_service(informers, service)),
    ]


def _of_nodes(informers: Informers) -> Iterator[str]:
    for node in informers.of(NODES).items():
        ready = [condition.status for condition in node.status.conditions or () if condition.type == "Ready"]
        if ready != ["True"] or node.spec.taints:
            yield f"{node.metadata.name}: Ready {ready}, taints {node.spec.taints}"


def _of_namespaces(informers: Informers) -> Iterator[str]:
    for namespace in informers.of(NAMESPACES).items():
        if namespace.metadata.deletion_timestamp is not None:
            yield f"namespace {namespace.metadata.name} is still terminating: {namespace.status.conditions}"


def _of_deployment(informers: Informers, deployment: Deployment) -> Iterator[str]:
    name, status, desired = deployment.metadata.name, deployment.status, wanted(deployment)
    counts = (status.replicas, status.ready_replicas, status.available_replicas)
    if {count or 0 for count in counts} != {desired}:
        yield f"deployment {name} wants {desired}, counts {counts}"
    if not deployment.spec.paused and (status.updated_replicas or 0) != desired:
        yield f"deployment {name} wants {desired}, updated {status.updated_replicas}"
    if status.observed_generation != deployment.metadata.generation:
        yield f"deployment {name} observed {status.observed_generation} of {deployment.metadata.generation}"
    sets = [
        each
        for each in informers.of(REPLICASETS).by_namespace(deployment.metadata.namespace)
        if (ref := controller_ref(each)) is not None and ref.uid == deployment.metadata.uid
    ]
    if sum(map(size, sets)) != desired:
        yield f"deployment {name} wants {desired}, sets {[(each.metadata.name, size(each)) for each in sets]}"


def _of_pods(informers: Informers, machines: Sequence[SimMachine]) -> Iterator[str]:
    running = {uid: machine.name for machine in machines for uid in machine.running_uids()}
    pods = {pod.metadata.uid: pod for pod in informers.of(PODS).items()}
    for uid in running:
        if uid not in pods:
            yield f"{running[uid]} runs a pod that nobody wants: {uid}"
    for uid, pod in pods.items():
        name = f"pod {pod.metadata.namespace}/{pod.metadata.name}"
        if pod.metadata.deletion_timestamp is not None:
            yield f"{name} is still being deleted"
        elif running.get(uid) != pod.spec.node_name or not is_ready(pod):
            yield f"{name} of node {pod.spec.node_name} runs on {running.get(uid)}, ready {is_ready(pod)}"
        ref = controller_ref(pod)
        if ref is None or informers.of(REPLICASETS).by_uid(ref.uid) is None:
            yield f"{name} has lost its owner {ref.name if ref else None}"


def _of_service(informers: Informers, service: Service) -> Iterator[str]:
    namespace, name = service.metadata.namespace, service.metadata.name
    if not service.spec.selector:
        return  # Nobody makes endpoints of pods for it: the API's and the cluster DNS's.
    selector = from_labels(service.spec.selector)
    pods = [pod for pod in informers.of(PODS).by_namespace(namespace) if selector.matches(pod.metadata.labels)]
    expected = sorted(_address(pod) for pod in pods if is_ready(pod))
    slices = [
        each
        for each in informers.of(ENDPOINTSLICES).by_namespace(namespace)
        if (each.metadata.labels or {}).get(SERVICE_NAME) == name
    ]
    found = sorted(
        endpoint.addresses[0]
        for each in slices
        for endpoint in each.endpoints
        if endpoint.conditions and endpoint.conditions.ready
    )
    if found != expected:
        yield f"service {namespace}/{name} has endpoints {found} instead of {expected}"
    endpoints = informers.of(ENDPOINTS).get(namespace, name)
    mirrored = sorted(
        a.ip for subset in (endpoints.subsets if endpoints else None) or () for a in subset.addresses or ()
    )
    if mirrored != expected:
        yield f"endpoints {namespace}/{name} has {mirrored} instead of {expected}"


def _address(pod: Pod) -> str:
    return pod.status.pod_ip or ""
