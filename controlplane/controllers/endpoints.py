"""Endpoints: the older form of what EndpointSlices say, one object per Service, for clients that read it.

Invariant: Endpoints that this controller did not make are never touched.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Create, Decision, Delete, Reference, Update
from controlplane.controllers.backends import (
    HEADLESS,
    Port,
    backends,
    has_backends,
    hostname_of,
    index_by_selector,
    is_headless,
    is_published_ready,
    ports_of,
    services_of_pods,
    target_of,
)
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.endpoints import EndpointAddress, Endpoints, EndpointsPort, EndpointSubset
from orch.api.kinds import ENDPOINTS, PODS, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.pod.spec import Pod
from orch.api.service import Service
from orch.client.informer import Informers, Key

ADDRESSES_MAX = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


def reconcile(service: Service, pods: Iterable[Pod], current: Endpoints | None) -> Decision:
    """`current`: the Endpoints of the Service's name."""
    if not has_backends(service) or service.metadata.deletion_timestamp is not None:
        return NOTHING
    # Pods that are being deleted stand in slices only.
    found = [pod for pod in backends(service, pods) if pod.metadata.deletion_timestamp is None]
    subsets = _subsets(service, found[:ADDRESSES_MAX]) or None
    annotations = {OVER_CAPACITY: "truncated"} if len(found) > ADDRESSES_MAX else {}
    if current is None:
        metadata = ObjectMeta(
            namespace=service.metadata.namespace,
            name=service.metadata.name,
            labels=_labels(service),
            annotations=annotations or None,
        )
        return Decision((Create(ENDPOINTS, Endpoints(metadata=metadata, subsets=subsets)),))
    before = current.metadata.annotations or {}
    kept = {name: text for name, text in before.items() if name != OVER_CAPACITY} | annotations
    metadata = replace(current.metadata, labels=_labels(service), annotations=kept or None)
    wanted = replace(current, metadata=metadata, subsets=subsets)
    return NOTHING if wanted == current else Decision((Update(ENDPOINTS, wanted),))


def reconcile_without_service(current: Endpoints) -> Decision:
    """The Service is gone."""
    metadata = current.metadata
    if (metadata.labels or {}).get(MANAGED_BY) != MANAGER:
        return NOTHING
    service = Reference(SERVICES, metadata.namespace, metadata.name)
    return Decision((Delete(ENDPOINTS, metadata.namespace, metadata.name, metadata.uid, absent=(service,)),))


def _subsets(service: Service, pods: Sequence[Pod]) -> tuple[EndpointSubset, ...]:
    """One subset per set of ports."""
    groups: dict[tuple[Port, ...], list[Pod]] = {}
    for pod in pods:
        groups.setdefault(ports_of(service, pod), []).append(pod)
    return tuple(_subset(service, ports, found) for ports, found in groups.items())


def _subset(service: Service, ports: Sequence[Port], pods: Sequence[Pod]) -> EndpointSubset:
    ready = tuple(_address(service, pod) for pod in pods if is_published_ready(service, pod))
    not_ready = tuple(_address(service, pod) for pod in pods if not is_published_ready(service, pod))
    return EndpointSubset(
        addresses=ready or None,
        not_ready_addresses=not_ready or None,
        ports=tuple(
            EndpointsPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
            for port in ports
        )
        or None,
    )


def _address(service: Service, pod: Pod) -> EndpointAddress:
    return EndpointAddress(
        ip=pod.status.pod_ip or "",
        hostname=hostname_of(service, pod),
        node_name=pod.spec.node_name,
        target_ref=target_of(pod),
    )


def _labels(service: Service) -> dict[str, str]:
    headless = {HEADLESS: ""} if is_headless(service) else {}
    return (service.metadata.labels or {}) | {MANAGED_BY: MANAGER} | headless


def endpoints_controller(informers: Informers) -> Controller:
    services, pods, endpoints = informers.of(SERVICES), informers.of(PODS), informers.of(ENDPOINTS)
    index_by_selector(services)

    def decide(key: Key, now: datetime) -> Decision:
        service, current = services.get(*key), endpoints.get(*key)
        if service is not None:
            return reconcile(service, pods.by_namespace(key[0]), current)
        return reconcile_without_service(current) if current is not None else NOTHING

    watches = (Watch(services, own_key), Watch(pods, services_of_pods(services)), Watch(endpoints, own_key))
    return Controller("endpoints", SERVICES, watches, decide)
