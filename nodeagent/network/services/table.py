"""All Services and host ports of this node as nftables elements, and what an update changes. Pure state, no kernel.

An element is a (map, key) with a value. The table keeps the last state that it handed out; `update` compiles only the
Services that changed and gives the difference. A frontend belongs to the Service or pod that had it first; another that
claims it waits until it is free, so that two Services with one external address cannot break each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nodeagent.network.services.compile import Backend, Frontend, VirtualPort, compile_service
from orch.api.endpointslice import EndpointSlice
from orch.api.service import Service

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
INSIDE_FIRST_INDEX = 32_768
"""Where the backends for clients inside the cluster begin, when they differ from those for the others."""

ServiceKey = tuple[str, str]
"""Namespace and name."""
_NOBODY: ServiceKey = ("", "")
_HOST_PORTS = ""
"""In the place of a namespace, before a pod's uid: no Service has such a key."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Goes to one of `count` backends, drawn at random, from index `first` on."""

    protocol: str
    count: int
    first: int = 0
    sticky: bool = False
    node_port: bool = False


@dataclass(frozen=True, slots=True)
class Remember:
    """Keeps a client with the backend that it was given, for so many seconds after its last connection."""

    timeout_s: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Lets the packet fall without an answer."""


@dataclass(frozen=True, slots=True, order=True)
class ElementKey:
    map: str
    key: str


Value = Backend | Pick | Remember | Drop | None
"""None: the element of a set."""
Elements = dict[ElementKey, Value]


@dataclass(frozen=True, slots=True)
class Change:
    """What must be written. `deleted` before `added`; an element whose value changed is in both."""

    deleted: Elements = field(default_factory=dict)
    added: Elements = field(default_factory=dict)
    frontends: frozenset[Frontend] = frozenset()
    """Whose backends changed, or which came or went: connections remembered for them may be stale."""
    sticky: bool = False
    """Whether one of them had session affinity."""


class ServiceTable:
    def __init__(self, node_name: str, dns_address: str) -> None:
        self._node_name = node_name
        self._dns_address = dns_address
        self._services: dict[ServiceKey, Service] = {}
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = {}
        self._host_ports: dict[ServiceKey, tuple[VirtualPort, ...]] = {}
        self._compiled: dict[ServiceKey, tuple[VirtualPort, ...]] = {}
        self._owners: dict[Frontend, ServiceKey] = {}
        self._contested: set[ServiceKey] = set()
        self._dirty: set[ServiceKey] = set()

    def apply_service(self, old: Service | None, new: Service | None) -> None:
        for found in (old, new):
            if found is not None:
                key = (found.metadata.namespace, found.metadata.name)
                self._services.pop(key, None)
                self._dirty.add(key)
        if new is not None:
            self._services[new.metadata.namespace, new.metadata.name] = new

    def apply_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for found in (old, new):
            if found is not None:
                key = service_of(found)
                self._slices.get(key, {}).pop(found.metadata.name, None)
                self._dirty.add(key)
        if new is not None:
            self._slices.setdefault(service_of(new), {})[new.metadata.name] = new

    def apply_host_ports(self, pod_uid: str, ports: tuple[VirtualPort, ...]) -> None:
        """All ports of the node that lead to this pod; none: it is gone."""
        key = (_HOST_PORTS, pod_uid)
        self._host_ports[key] = ports
        self._dirty.add(key)
        if not ports:
            del self._host_ports[key]

    def frontends(self) -> frozenset[Frontend]:
        """All that are in force."""
        return frozenset(self._owners)

    def backends(self, frontends: Iterable[Frontend]) -> dict[Frontend, frozenset[Backend]]:
        """Of those frontends that are in force, all backends that they may lead to."""
        found = {}
        for frontend in frontends:
            for port in self._compiled.get(self._owners.get(frontend, _NOBODY), ()):
                if port.frontend == frontend:
                    found[frontend] = frozenset(port.backends) | frozenset(port.inside_backends or ())
        return found

    def elements(self) -> Elements:
        """Everything, as of the last update."""
        return {key: value for ports in self._compiled.values() for key, value in _elements(ports)}

    def update(self) -> Change:
        """What has changed since the last update."""
        dirty, self._dirty = sorted(self._dirty | self._contested), set()
        before = {port.frontend: port for key in dirty for port in self._compiled.pop(key, ())}
        for frontend in before:
            del self._owners[frontend]
        self._contested = {key for key in dirty if not self._claim(key)}
        after = {port.frontend: port for key in dirty for port in self._compiled.get(key, ())}
        return _change(before, after)

    def _claim(self, key: ServiceKey) -> bool:
        """Compiles a Service and takes its frontends. False when some belong to another."""
        ports = self._wanted(key)
        # The cluster's DNS address is this node's own: queries reach the agent without being rewritten.
        ports = tuple(port for port in ports if port.frontend.address != self._dns_address)
        free = tuple(port for port in ports if port.frontend not in self._owners)
        self._owners.update((port.frontend, key) for port in free)
        if free:
            self._compiled[key] = free
        return len(free) == len(ports)

    def _wanted(self, key: ServiceKey) -> tuple[VirtualPort, ...]:
        service = self._services.get(key)
        if service is None:
            return self._host_ports.get(key, ())
        return compile_service(service, self._slices.get(key, {}).values(), self._node_name)


def service_of(found: EndpointSlice) -> ServiceKey:
    return found.metadata.namespace, (found.metadata.labels or {}).get(SERVICE_NAME_LABEL, "")


def _change(before: Mapping[Frontend, VirtualPort], after: Mapping[Frontend, VirtualPort]) -> Change:
    changed = [frontend for frontend in before.keys() | after.keys() if before.get(frontend) != after.get(frontend)]
    old: Elements = {key: value for found in changed if found in before for key, value in _elements((before[found],))}
    new: Elements = {key: value for found in changed if found in after for key, value in _elements((after[found],))}
    missing = object()
    return Change(
        deleted={key: value for key, value in old.items() if new.get(key, missing) != value},
        added={key: value for key, value in new.items() if old.get(key, missing) != value},
        frontends=frozenset(changed),
        sticky=any(before[found].affinity_timeout_s for found in changed if found in before),
    )


def _elements(ports: Iterable[VirtualPort]) -> Iterator[tuple[ElementKey, Value]]:
    for port in ports:
        frontend = port.frontend
        parts = (frontend.address, frontend.protocol, str(frontend.port))
        key = " . ".join(filter(None, parts))
        prefix = "node_port_" if frontend.is_node_port else ""
        endpoints = f"{prefix}endpoints_{frontend.protocol}"
        endpoint_key = " . ".join(filter(None, (frontend.address, str(frontend.port))))
        yield from _verdicts(port, key)
        yield from _endpoints(endpoints, endpoint_key, port.backends, 0)
        yield from _endpoints(endpoints, endpoint_key, port.inside_backends or (), INSIDE_FIRST_INDEX)
        if port.affinity_timeout_s:
            yield ElementKey(f"{prefix}affinity_timeouts", key), Remember(port.affinity_timeout_s)


def _verdicts(port: VirtualPort, key: str) -> Iterator[tuple[ElementKey, Value]]:
    table = "node_ports" if port.frontend.is_node_port else "services"
    if port.inside_backends:
        yield ElementKey(f"{table}_inside", key), _pick(port, len(port.inside_backends), INSIDE_FIRST_INDEX)
    if port.backends:
        yield ElementKey(table, key), _pick(port, len(port.backends), 0)
    elif port.drops_outsiders:
        yield ElementKey(table, key), Drop()
    elif not port.frontend.is_node_port and not port.in_service_range:
        # Nothing listens at a node port and the service range is refused as a whole; other addresses are named.
        yield ElementKey("refused", key), None


def _pick(port: VirtualPort, count: int, first: int) -> Pick:
    sticky = port.affinity_timeout_s > 0
    return Pick(port.frontend.protocol, count, first, sticky=sticky, node_port=port.frontend.is_node_port)


def _endpoints(table: str, key: str, backends: tuple[Backend, ...], first: int) -> Iterator[tuple[ElementKey, Value]]:
    for index, backend in enumerate(backends, start=first):
        yield ElementKey(table, f"{key} . {index}"), backend
