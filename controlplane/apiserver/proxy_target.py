"""Which port of which pod the name in a proxy request means: `[scheme:]name[:port]` of a pod or a service.

Pure, but for the choice among several endpoints, which the caller makes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.apiserver.port_numbers import port_of
from orch.api.endpoints import EndpointAddress, Endpoints
from orch.api.pod.spec import Pod
from orch.api.service import Service
from orch.errors import BadRequest, ServiceUnavailable

SCHEMES = {"": "http", "http": "http", "https": "https"}
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ProxyName:
    scheme: str
    name: str
    port: str
    """Empty: the default of what is named."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod in the namespace of its service."""

    pod: str
    port: int


def split_name(text: str, what: str) -> ProxyName:
    """`what` is named in the refusal: pod or service. Raises BadRequest."""
    parts = text.split(":")
    match parts:
        case [name]:
            scheme, port = "", ""
        case [name, port]:
            scheme = ""
        case [scheme, name, port]:
            pass
        case _:
            raise BadRequest(f'invalid {what} request "{text}"')
    if scheme not in SCHEMES or not name:
        raise BadRequest(f'invalid {what} request "{text}"')
    return ProxyName(SCHEMES[scheme], name, port)


def pod_port(pod: Pod, asked: ProxyName) -> int:
    """The asked port by number, else the first that a container names, else the scheme's. Raises BadRequest."""
    if asked.port:
        if not (number := port_of(asked.port)):
            raise BadRequest(f'"{asked.port}" is no port number: a pod\'s ports are proxied by number')
        return number
    named = (port.container_port for container in pod.spec.containers for port in container.ports or ())
    return next(named, DEFAULT_PORTS[asked.scheme])


def service_port_name(service: Service, asked: ProxyName) -> str:
    """A port number of the service stands for the port's name. Raises ServiceUnavailable."""
    if (number := port_of(asked.port)) is None:
        return asked.port
    for port in service.spec.ports or ():
        if port.port == number:
            return port.name or ""
    raise ServiceUnavailable(f'no service port {asked.port} found for service "{asked.name}"')


def service_endpoints(endpoints: Endpoints, port_name: str) -> list[Endpoint]:
    """Ready ones that are pods of the same namespace: a service leads to no other. Raises ServiceUnavailable when
    there is none."""
    name, namespace = endpoints.metadata.name, endpoints.metadata.namespace
    found = list(_addresses(endpoints, port_name))
    if not found:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    pods = [
        Endpoint(target.name or "", port)
        for address, port in found
        if (target := address.target_ref) is not None
        and target.kind == "Pod"
        and target.namespace in (None, "", namespace)
    ]
    if not pods:
        raise ServiceUnavailable(
            f'the endpoints of service "{name}" are no pods of its namespace: others are not reached'
        )
    return pods


def _addresses(endpoints: Endpoints, port_name: str) -> Iterator[tuple[EndpointAddress, int]]:
    for subset in endpoints.subsets or ():
        for port in subset.ports or ():
            if (port.name or "") == port_name:
                yield from ((address, port.port) for address in subset.addresses or ())
