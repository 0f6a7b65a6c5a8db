"""EndpointSlice: the addresses behind each Service, in slices of at most 100, changed as little as possible.

For a Service without a selector, Endpoints that a user wrote are mirrored into slices, since nodes read slices only.

Invariant: an endpoint stands in one slice; slices that hold what they should are not written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Action, Create, Decision, Delete, Update
from controlplane.controllers.backends import (
    HEADLESS,
    MANAGED_BY,
    SERVICE_NAME,
    Port,
    backends,
    has_backends,
    hostname_of,
    index_by_selector,
    is_headless,
    is_published_ready,
    is_serving,
    ports_of,
    services_of_pods,
    target_of,
)
from controlplane.controllers.ownership import reference_to
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.endpoints import SKIP_MIRROR, Endpoints
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.kinds import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES
from orch.api.meta import Object, ObjectMeta
from orch.api.pod.spec import Pod
from orch.api.service import Service
from orch.client.informer import Informers, Key

ENDPOINTS_MAX = 100
"""Per slice (kube-controller-manager's --max-endpoints-per-slice)."""
MANAGER = "endpointslice-controller.k8s.io"
MIRROR_MANAGER = "endpointslicemirroring-controller.k8s.io"
MANAGERS = (MANAGER, MIRROR_MANAGER)
SERVICE_INDEX = "service"
NOT_COPIED_LABELS = frozenset({MANAGED_BY, SERVICE_NAME, HEADLESS})


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one slice have one address type and one set of ports."""

    address_type: str
    ports: tuple[Port, ...]


Wanted = dict[Group, dict[str, Endpoint]]
"""Group -> endpoints by an identity that outlives their changes: the pod's uid and address."""


def reconcile(
    service: Service, pods: Iterable[Pod], mirrored: Endpoints | None, slices: Iterable[EndpointSlice]
) -> Decision:
    """`slices`: those that controllers made for the Service; `mirrored`: Endpoints of its name written by a user."""
    if service.metadata.deletion_timestamp is not None:
        return NOTHING
    if has_backends(service):
        manager, wanted = MANAGER, _from_pods(service, backends(service, pods))
    else:
        manager, wanted = MIRROR_MANAGER, _from_endpoints(mirrored)
    mine = [each for each in slices if _manager(each) == manager]
    actions = [_delete(each) for each in slices if _manager(each) != manager]
    labels = _labels(service, manager)
    by_group: dict[Group, list[EndpointSlice]] = {}
    for each in sorted(mine, key=lambda each: each.metadata.name):
        by_group.setdefault(_group(each), []).append(each)
    for group in dict.fromkeys((*wanted, *by_group)):
        actions += _fit(service, labels, group, wanted.get(group), by_group.get(group, []))
    return Decision(tuple(actions))


def _from_pods(service: Service, pods: Sequence[Pod]) -> Wanted:
    families = service.spec.ip_families or ("IPv4",)
    wanted: Wanted = {}
    for pod in pods:
        for address in pod.status.pod_ips or ():
            family = f"IPv{ip_address(address.ip).version}"
            if family in families:
                group = wanted.setdefault(Group(family, ports_of(service, pod)), {})
                group[f"{pod.metadata.uid}/{address.ip}"] = _endpoint(service, pod, address.ip)
    # A Service without endpoints has one empty slice, which tells that its endpoints are known.
    return wanted or {Group(family, ()): {} for family in families}


def _endpoint(service: Service, pod: Pod, address: str) -> Endpoint:
    return Endpoint(
        addresses=(address,),
        conditions=EndpointConditions(
            ready=is_published_ready(service, pod),
            serving=is_serving(pod),
            terminating=pod.metadata.deletion_timestamp is not None,
        ),
        hostname=hostname_of(service, pod),
        node_name=pod.spec.node_name,
        target_ref=target_of(pod),
    )


def _from_endpoints(mirrored: Endpoints | None) -> Wanted:
    wanted: Wanted = {}
    for subset in mirrored.subsets or () if mirrored else ():
        ports = tuple(
            Port(port.name, port.port, port.protocol or "TCP", port.app_protocol) for port in subset.ports or ()
        )
        for ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            for address in addresses or ():
                group = wanted.setdefault(Group(f"IPv{ip_address(address.ip).version}", ports), {})
                group[_identity(address.target_ref.uid if address.target_ref else None, address.ip)] = Endpoint(
                    addresses=(address.ip,),
                    conditions=EndpointConditions(ready=ready),
                    hostname=address.hostname,
                    node_name=address.node_name,
                    target_ref=address.target_ref,
                )
    return wanted


def _fit(
    service: Service,
    labels: dict[str, str],
    group: Group,
    wanted: Mapping[str, Endpoint] | None,
    slices: Sequence[EndpointSlice],
) -> list[Action]:
    """Endpoints stay in their slices; new ones fill up the fullest slice with room, then new slices."""
    if wanted is None:
        return [_delete(each) for each in slices]
    left = dict(wanted)
    contents = {each.metadata.name: _kept(each, left) for each in slices}
    for content in sorted(contents.values(), key=len, reverse=True):
        room = ENDPOINTS_MAX - len(content)
        for identity in list(left)[:room]:
            content.append(left.pop(identity))
    actions: list[Action] = []
    needed = [each for each in slices if contents[each.metadata.name]] or list(slices[:1])
    for each in slices:
        actions += _change(each, labels, contents[each.metadata.name]) if each in needed else [_delete(each)]
    rest = list(left.values())
    parts = [rest[start : start + ENDPOINTS_MAX] for start in range(0, len(rest), ENDPOINTS_MAX)]
    if not parts and not slices:
        parts = [[]]
    return [*actions, *(Create(ENDPOINTSLICES, _slice(service, labels, group, part)) for part in parts)]


def _kept(slice_: EndpointSlice, left: dict[str, Endpoint]) -> list[Endpoint]:
    """The slice's endpoints that are still wanted, in their new state; takes them out of `left`."""
    identities = (
        _identity(each.target_ref.uid if each.target_ref else None, each.addresses[0]) for each in slice_.endpoints
    )
    return [left.pop(identity) for identity in identities if identity in left]


def _identity(uid: str | None, address: str) -> str:
    return f"{uid or ''}/{address}"


def _change(slice_: EndpointSlice, labels: dict[str, str], endpoints: Sequence[Endpoint]) -> list[Action]:
    if slice_.endpoints == tuple(endpoints) and slice_.metadata.labels == labels:
        return []
    changed = replace(slice_, endpoints=tuple(endpoints), metadata=replace(slice_.metadata, labels=labels))
    return [Update(ENDPOINTSLICES, changed)]


def _slice(service: Service, labels: dict[str, str], group: Group, endpoints: Sequence[Endpoint]) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            namespace=service.metadata.namespace,
            generate_name=f"{service.metadata.name}-",
            labels=labels,
            owner_references=(reference_to(service),),
        ),
        address_type=group.address_type,
        endpoints=tuple(endpoints),
        ports=tuple(
            EndpointPort(name=port.name or "", port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
            for port in group.ports
        ),
    )


def _labels(service: Service, manager: str) -> dict[str, str]:
    copied = {name: value for name, value in (service.metadata.labels or {}).items() if name not in NOT_COPIED_LABELS}
    own = {MANAGED_BY: manager, SERVICE_NAME: service.metadata.name}
    return copied | own | ({HEADLESS: ""} if is_headless(service) else {})


def _group(slice_: EndpointSlice) -> Group:
    ports = (
        Port(port.name or None, port.port or 0, port.protocol or "TCP", port.app_protocol)
        for port in slice_.ports or ()
    )
    return Group(slice_.address_type, tuple(ports))


def _manager(slice_: EndpointSlice) -> str:
    return (slice_.metadata.labels or {}).get(MANAGED_BY, "")


def _delete(slice_: EndpointSlice) -> Action:
    metadata = slice_.metadata
    return Delete(ENDPOINTSLICES, metadata.namespace, metadata.name, metadata.uid)


def _service_of(slice_: Object) -> tuple[str, ...]:
    labels = slice_.metadata.labels or {}
    if labels.get(MANAGED_BY) not in MANAGERS or SERVICE_NAME not in labels:
        return ()
    return (f"{slice_.metadata.namespace}/{labels[SERVICE_NAME]}",)


def _is_mirrored(endpoints: Endpoints) -> bool:
    """The control plane's own locks and what the user excludes are not (endpointslicemirroring)."""
    return (endpoints.metadata.labels or {}).get(SKIP_MIRROR) != "true"


def endpointslice_controller(informers: Informers) -> Controller:
    services, pods = informers.of(SERVICES), informers.of(PODS)
    slices, endpoints = informers.of(ENDPOINTSLICES), informers.of(ENDPOINTS)
    index_by_selector(services)
    slices.add_index(SERVICE_INDEX, _service_of)

    def decide(key: Key, now: datetime) -> Decision:
        service = services.get(*key)
        if service is None:
            return NOTHING
        written = endpoints.get(*key)
        mirrored = written if written is not None and _is_mirrored(written) else None
        own = slices.indexed(SERVICE_INDEX, "/".join(key))
        return reconcile(service, pods.by_namespace(key[0]), mirrored, own)

    def keys_of_slice(old: EndpointSlice | None, new: EndpointSlice | None) -> Iterable[Key]:
        for each in (old, new):
            for value in _service_of(each) if each else ():
                namespace, name = value.split("/")
                yield namespace, name

    watches = (
        Watch(services, own_key),
        Watch(pods, services_of_pods(services)),
        Watch(slices, keys_of_slice),
        Watch(endpoints, own_key),
    )
    return Controller("endpointslice", SERVICES, watches, decide)
