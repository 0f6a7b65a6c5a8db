"""Which pods stand behind a Service, and on which ports. Pure; shared by EndpointSlices and Endpoints."""

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.controllers.podstate import is_finished, is_ready
from controlplane.controllers.runner import KeysOf, own_key
from orch.api.pod.spec import Pod
from orch.api.selectors import from_labels
from orch.api.service import Service, ServicePort
from orch.api.shared import ObjectReference
from orch.client.informer import Informer, Key

SELECTOR_INDEX = "selector"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service as one pod serves it."""

    name: str | None
    port: int
    protocol: str
    app_protocol: str | None = None


def has_backends(service: Service) -> bool:
    """Whether endpoints are made from pods; without a selector somebody else makes them."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def backends(service: Service, pods: Iterable[Pod]) -> list[Pod]:
    """Selected pods that have an address and have not finished, in order of their names."""
    selector = from_labels(service.spec.selector or {})
    found = [
        pod for pod in pods if pod.status.pod_ip and not is_finished(pod) and selector.matches(pod.metadata.labels)
    ]
    return sorted(found, key=lambda pod: pod.metadata.name)


def is_serving(pod: Pod) -> bool:
    return is_ready(pod)


def is_published_ready(service: Service, pod: Pod) -> bool:
    """Whether clients may be sent there: ready and not being deleted, unless the Service publishes all."""
    if service.spec.publish_not_ready_addresses:
        return True
    return is_ready(pod) and pod.metadata.deletion_timestamp is None


def ports_of(service: Service, pod: Pod) -> tuple[Port, ...]:
    """A named target port that the pod does not declare is left out (endpoints/util FindPort)."""
    found = ((port, _number(port, pod)) for port in service.spec.ports or ())
    return tuple(
        Port(port.name, number, port.protocol or "TCP", port.app_protocol)
        for port, number in found
        if number is not None
    )


def hostname_of(service: Service, pod: Pod) -> str | None:
    """The pod's own name below a headless Service."""
    ours = pod.spec.subdomain == service.metadata.name
    return pod.spec.hostname if ours else None


def target_of(pod: Pod) -> ObjectReference:
    return ObjectReference(kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid)


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == "None"


def index_by_selector(services: Informer[Service]) -> None:
    """By the first pair of the selector, so that a pod asks only the Services that may select it."""
    services.add_index(SELECTOR_INDEX, _selector_values)


def services_of_pods(services: Informer[Service]) -> KeysOf[Pod]:
    """The Services that select the pod, as it was and as it is."""

    def keys_of(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        if old is not None and new is not None and not _concerns_services(old, new):
            return
        labels = [pod.metadata.labels or {} for pod in (old, new) if pod is not None]
        namespace = (new or old).metadata.namespace  # type: ignore[union-attr]
        for pair in dict.fromkeys(pair for each in labels for pair in each.items()):
            for service in services.indexed(SELECTOR_INDEX, _index_value(namespace, pair)):
                if any(from_labels(service.spec.selector or {}).matches(each) for each in labels):
                    yield from own_key(None, service)

    return keys_of


def _concerns_services(old: Pod, new: Pod) -> bool:
    """Most updates of a pod change no endpoint."""

    def view(pod: Pod) -> tuple[object, ...]:
        metadata, status = pod.metadata, pod.status
        return metadata.labels, metadata.deletion_timestamp, status.pod_ips, status.phase, is_ready(pod)

    return view(old) != view(new)


def _selector_values(service: Service) -> Iterable[str]:
    selector = service.spec.selector
    return (_index_value(service.metadata.namespace, min(selector.items())),) if selector else ()


def _index_value(namespace: str, pair: tuple[str, str]) -> str:
    return f"{namespace}/{pair[0]}={pair[1]}"


def _number(port: ServicePort, pod: Pod) -> int | None:
    target = port.target_port
    if target is None:
        return port.port
    if isinstance(target, int):
        return target
    protocol = port.protocol or "TCP"
    for container in (*pod.spec.containers, *(pod.spec.init_containers or ())):
        for declared in container.ports or ():
            if declared.name == target and (declared.protocol or "TCP") == protocol:
                return declared.container_port
    return None
