"""Which DNS names the Services of the cluster make (Kubernetes DNS-Based Service Discovery, version 1.1.0). Pure.

`ClusterRecords` holds them by name and remembers which Service made which, so that a Service that changes replaces its
own names alone. Names are lower case without the final dot.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from nodeagent.network.services.compile import cluster_addresses, is_serving_while_terminating
from nodeagent.network.services.table import ServiceKey, service_of
from orch.api.endpointslice import Endpoint, EndpointSlice
from orch.api.service import Service


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """One resource record. `type` is A, SRV, PTR or CNAME, `value` as a zone file writes it (absolute, final dot)."""

    name: str
    type: str
    value: str


class ClusterRecords:
    def __init__(self, domain: str) -> None:
        self.domain = domain
        self._services: dict[ServiceKey, Service] = {}
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = {}
        self._records: dict[ServiceKey, tuple[Record, ...]] = {}
        self._by_name: dict[str, Counter[Record]] = {}
        self._inner: Counter[str] = Counter()
        """How many records lie below a name: such a name exists, even when it has no record of its own."""

    def apply_service(self, old: Service | None, new: Service | None) -> None:
        for found in (old, new):
            if found is not None:
                self._services.pop((found.metadata.namespace, found.metadata.name), None)
        if new is not None:
            self._services[new.metadata.namespace, new.metadata.name] = new
        self._refresh({(found.metadata.namespace, found.metadata.name) for found in (old, new) if found is not None})

    def apply_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        keys = set()
        for found in (old, new):
            if found is not None:
                keys.add(service_of(found))
                self._slices.get(service_of(found), {}).pop(found.metadata.name, None)
        if new is not None:
            self._slices.setdefault(service_of(new), {})[new.metadata.name] = new
        self._refresh(keys)

    def find(self, name: str) -> tuple[Record, ...]:
        """The records of a name, sorted."""
        return tuple(sorted(self._by_name.get(name, ())))

    def exists(self, name: str) -> bool:
        """Whether the name, or one below it, has records: without any for a question the answer is then NODATA."""
        return name in self._by_name or self._inner[name] > 0

    def _refresh(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            self._count(self._records.pop(key, ()), -1)
            service = self._services.get(key)
            if service is not None:
                self._records[key] = tuple(service_records(service, self._slices.get(key, {}), self.domain))
                self._count(self._records[key], 1)

    def _count(self, records: Iterable[Record], step: int) -> None:
        for record in records:
            counter = self._by_name.setdefault(record.name, Counter())
            counter[record] += step
            if counter[record] == 0:
                del counter[record]
            if not counter:
                del self._by_name[record.name]
            for parent in _parents(record.name):
                self._inner[parent] += step


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.split(".", 1)[1]
        yield name


def service_records(service: Service, slices: Mapping[str, EndpointSlice], domain: str) -> Iterator[Record]:
    name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{domain}"
    if service.spec.type == "ExternalName":
        yield Record(name, "CNAME", f"{(service.spec.external_name or '').rstrip('.').lower()}.")
        return
    addresses = cluster_addresses(service)
    if not addresses:
        yield from _headless_records(service, slices, name)
        return
    for address in addresses:
        yield Record(name, "A", address)
        yield Record(reverse_name(address), "PTR", f"{name}.")
    for port in service.spec.ports or ():
        if port.name:
            yield _srv(port.name, port.protocol, name, port.port, name)


def _headless_records(service: Service, slices: Mapping[str, EndpointSlice], name: str) -> Iterator[Record]:
    """Each ready endpoint by the Service's name, and by its own name below it."""
    for found in slices.values():
        if found.address_type != "IPv4":
            continue
        for endpoint in found.endpoints:
            if not endpoint.addresses or not _is_published(endpoint, service):
                continue
            for address in endpoint.addresses:
                own = f"{(endpoint.hostname or address.replace('.', '-')).lower()}.{name}"
                yield Record(name, "A", address)
                yield Record(own, "A", address)
                yield Record(reverse_name(address), "PTR", f"{own}.")
                yield from _endpoint_services(found, name, own)


def _endpoint_services(found: EndpointSlice, name: str, own: str) -> Iterator[Record]:
    for port in found.ports or ():
        if port.name and port.port:
            yield _srv(port.name, port.protocol, name, port.port, own)


def _is_published(endpoint: Endpoint, service: Service) -> bool:
    conditions = endpoint.conditions
    ready = conditions is None or conditions.ready is not False
    return ready or bool(service.spec.publish_not_ready_addresses) or is_serving_while_terminating(endpoint)


def _srv(port_name: str, protocol: str | None, name: str, port: int, target: str) -> Record:
    owner = f"_{port_name}._{(protocol or 'TCP').lower()}.{name}"
    return Record(owner, "SRV", f"0 100 {port} {target}.")


def reverse_name(address: str) -> str:
    return IPv4Address(address).reverse_pointer
