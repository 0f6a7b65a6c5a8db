"""What a pod asks of a node, worked out once per pod: amounts, host ports, the group that it spreads with.

Pure. Invariant: amounts are integers in the unit of the snapshot's columns (CPU in millicores, all else in units).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orch.api.base import Quantity
from orch.api.pod.allocation import held_requests
from orch.api.pod.effective import summed
from orch.api.pod.pod_level import requests_of
from orch.api.pod.spec import Pod
from orch.api.quantity import milli, value
from orch.api.volume_binding import claim_names

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"

DEFAULT_CPU_MILLI = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024
"""What scoring assumes of a container without a request, as Kubernetes does (scheduler/util/pod_resources.go)."""

ANY_ADDRESS = "0.0.0.0"

HostPort = tuple[str, int, str]
"""(protocol, port, address); the address 0.0.0.0 stands for all."""
Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PodInfo:
    """A pod and what scheduling needs to know of it."""

    pod: Pod
    requests: Amounts
    """Resource -> amount, zero amounts left out; one of `pods` always."""
    scored: tuple[int, int]
    """CPU and memory with the defaults that scoring assumes."""
    host_ports: tuple[HostPort, ...]
    group: str
    """Uid of the controller; pods of one group are spread over nodes. Empty: no group."""
    claims: tuple[str, ...] = ()
    """Names of the PersistentVolumeClaims that its volumes stand for."""

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid


def pod_info(pod: Pod) -> PodInfo:
    requests = pod_requests(pod)
    scored = (_scored(pod, CPU, DEFAULT_CPU_MILLI), _scored(pod, MEMORY, DEFAULT_MEMORY_BYTES))
    return PodInfo(
        pod=pod,
        requests={PODS: 1} | {name: amount for name, amount in requests.items() if amount},
        scored=scored,
        host_ports=tuple(_host_ports(pod)),
        group=next((ref.uid for ref in pod.metadata.owner_references or () if ref.controller), ""),
        claims=tuple(claim_names(pod)),
    )


def amount_of(resource: str, quantity: Quantity) -> int:
    return milli(quantity) if resource == CPU else value(quantity)


def amounts(quantities: Mapping[str, Quantity] | None) -> dict[str, int]:
    return {name: amount_of(name, quantity) for name, quantity in (quantities or {}).items()}


def pod_requests(pod: Pod) -> dict[str, int]:
    """The effective request with the pod's overhead; what the pod as a whole requests goes before its containers'."""
    return summed((requests_of(pod.spec, held_requests(pod, amounts), amounts), amounts(pod.spec.overhead)))


def _scored(pod: Pod, resource: str, default: int) -> int:
    whole = (pod.spec.resources.requests if pod.spec.resources is not None else None) or {}
    overhead = amount_of(resource, (pod.spec.overhead or {}).get(resource, 0))
    if resource in whole:
        return amount_of(resource, whole[resource]) + overhead
    asked = [amounts(container.resources.requests).get(resource, default) for container in pod.spec.containers]
    return sum(asked) + overhead


def _host_ports(pod: Pod) -> Iterable[HostPort]:
    for container in pod.spec.containers:
        for port in container.ports or ():
            number = port.host_port or (port.container_port if pod.spec.host_network else None)
            if number:
                yield port.protocol or "TCP", number, port.host_ip or ANY_ADDRESS
