"""What a cluster holds before anybody asks: system namespaces, priority classes, a StorageClass, Services.

What is missing is made again at every start.
The Services come before any client's, so that nobody else gets their addresses: the API at the service range's first
address, the cluster's DNS at its tenth, as kubeadm places them. The DNS Service has no endpoints, since every node
answers at that address itself.
"""

import ipaddress
from contextlib import suppress
from typing import TypeVar

import structlog

from controlplane.registry.interface import Api, RequestContext, User, WriteOptions
from orch.api.endpoints import SKIP_MIRROR, EndpointAddress, Endpoints, EndpointsPort, EndpointSubset
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.kind import Kind
from orch.api.kinds import ENDPOINTS, ENDPOINTSLICES, NAMESPACES, PRIORITYCLASSES, SERVICES, STORAGECLASSES
from orch.api.meta import Object, ObjectMeta
from orch.api.namespace import Namespace
from orch.api.priorityclass import SYSTEM_CLASSES
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.api.storageclass import DEFAULT_ANNOTATIONS, StorageClass
from orch.api.volume_binding import PROVISIONER
from orch.errors import AlreadyExists, Invalid

T = TypeVar("T", bound=Object)

log = structlog.get_logger(__name__)

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
BOOTSTRAP_CONTEXT = RequestContext(User("system:apiserver", ("system:masters",)), "bootstrap")

API_PLACE, DNS_PLACE = 1, 10
"""Places in the service range."""
API_SERVICE_PORT = 443
DNS_PORT = 53
API_LABELS = {"component": "apiserver", "provider": "kubernetes"}
LOCAL_CLASS = StorageClass(
    metadata=ObjectMeta(name="local", annotations={DEFAULT_ANNOTATIONS[0]: "true"}),
    provisioner=PROVISIONER,
    reclaim_policy="Delete",
    volume_binding_mode="WaitForFirstConsumer",
    allow_volume_expansion=True,
)
DNS_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}


async def create_system_namespaces(api: Api) -> None:
    for name in SYSTEM_NAMESPACES:
        namespace = Namespace(metadata=ObjectMeta(name=name))
        try:
            await api.create(BOOTSTRAP_CONTEXT, NAMESPACES, "", namespace, WriteOptions())
        except AlreadyExists:
            continue


async def create_system_priority_classes(api: Api) -> None:
    for priority_class in SYSTEM_CLASSES:
        try:
            await api.create(BOOTSTRAP_CONTEXT, PRIORITYCLASSES, "", priority_class, WriteOptions())
        except AlreadyExists:
            continue


async def create_default_storage_class(api: Api) -> None:
    with suppress(AlreadyExists):
        await api.create(BOOTSTRAP_CONTEXT, STORAGECLASSES, "", LOCAL_CLASS, WriteOptions())


async def create_system_services(api: Api, service_cidr: str, api_address: str, api_port: int) -> None:
    """Without `api_address` the API's Service has no endpoints."""
    network = ipaddress.IPv4Network(service_cidr)
    for service in (api_service(network, api_port), dns_service(network)):
        namespace, name = service.metadata.namespace, service.metadata.name
        try:
            await api.create(BOOTSTRAP_CONTEXT, SERVICES, namespace, service, WriteOptions())
        except AlreadyExists:
            continue
        except Invalid as error:
            # A cluster from before these Services may have given the address away: it must still start.
            log.error("system_service_not_created", namespace=namespace, name=name, error=str(error))
    if api_address:
        await _publish(api, ENDPOINTS, old_api_endpoints(api_address, api_port))
        await _publish(api, ENDPOINTSLICES, api_endpoints(api_address, api_port))


async def _publish(api: Api, kind: Kind[T], endpoints: T) -> None:
    """Also when the address or port has changed since the last start."""
    namespace, name = endpoints.metadata.namespace, endpoints.metadata.name
    try:
        await api.create(BOOTSTRAP_CONTEXT, kind, namespace, endpoints, WriteOptions())
    except AlreadyExists:
        await api.update(BOOTSTRAP_CONTEXT, kind, namespace, name, endpoints, WriteOptions())


def api_service(network: ipaddress.IPv4Network, api_port: int) -> Service:
    port = ServicePort(name="https", port=API_SERVICE_PORT, protocol="TCP", target_port=api_port)
    spec = ServiceSpec(ports=(port,), cluster_ip=str(network[API_PLACE]))
    return Service(metadata=ObjectMeta(name="kubernetes", namespace="default", labels=API_LABELS), spec=spec)


def dns_service(network: ipaddress.IPv4Network) -> Service:
    ports = (
        ServicePort(name="dns", port=DNS_PORT, protocol="UDP", target_port=DNS_PORT),
        ServicePort(name="dns-tcp", port=DNS_PORT, protocol="TCP", target_port=DNS_PORT),
    )
    spec = ServiceSpec(ports=ports, cluster_ip=str(network[DNS_PLACE]))
    return Service(metadata=ObjectMeta(name="kube-dns", namespace="kube-system", labels=DNS_LABELS), spec=spec)


def old_api_endpoints(address: str, port: int) -> Endpoints:
    """For those who read Endpoints still. The label: no controller makes a slice of it, since there is one."""
    ports = (EndpointsPort(name="https", port=port, protocol="TCP"),)
    return Endpoints(
        metadata=ObjectMeta(name="kubernetes", namespace="default", labels={SKIP_MIRROR: "true"}),
        subsets=(EndpointSubset(addresses=(EndpointAddress(ip=address),), ports=ports),),
    )


def api_endpoints(address: str, port: int) -> EndpointSlice:
    """As kube-apiserver keeps it: named like its Service and managed by no controller."""
    return EndpointSlice(
        metadata=ObjectMeta(
            name="kubernetes", namespace="default", labels={"kubernetes.io/service-name": "kubernetes"}
        ),
        address_type="IPv4",
        endpoints=(Endpoint(addresses=(address,), conditions=EndpointConditions(ready=True)),),
        ports=(EndpointPort(name="https", port=port, protocol="TCP"),),
    )
