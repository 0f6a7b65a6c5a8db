"""The environment variables of a container. Pure.

Order and precedence follow kubelet (pkg/kubelet/kubelet_pods.go makeEnvironmentVariables): service variables below
`envFrom` below `env`; `$(VAR)` sees what was defined before it, then service variables.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING
from typing import Protocol

from orch.api import quantity
from orch.api.configmap import ConfigMap
from orch.api.pod.container import (
    ConfigMapKeySelector,
    Container,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    ResourceFieldSelector,
    SecretKeySelector,
)
from orch.api.pod.pod_level import pod_level_limits
from orch.api.pod.spec import Pod
from orch.api.secret import Secret
from orch.api.service import Service
from orch.errors import OrchError

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")
MASTER_SERVICE = ("default", "kubernetes")


class ConfigError(OrchError):
    """The container cannot be made as the pod says; status shows it as CreateContainerConfigError."""


class Inputs(Protocol):
    """The objects that a pod's containers are configured from, as the node holds them."""

    def config_map(self, namespace: str, name: str) -> ConfigMap | None: ...

    def secret(self, namespace: str, name: str) -> Secret | None: ...

    def services(self, namespace: str) -> tuple[Service, ...]: ...


@dataclass(frozen=True, slots=True)
class Downward:
    """What the downward API tells of the pod's place. Amounts are the node's allocatable, for limits not set."""

    node_name: str
    host_ip: str
    pod_ip: str
    allocatable: Mapping[str, str]


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, `$$` a dollar; an unknown name stays as it is written."""

    def replaced(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return values.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replaced, text)


def variables(pod: Pod, container: Container, inputs: Inputs, downward: Downward) -> dict[str, str]:
    """Raises ConfigError naming the object or key that is missing."""
    namespace = pod.metadata.namespace
    services = service_variables(pod, inputs)
    result: dict[str, str] = {}
    for source in container.env_from or ():
        result |= _env_from(source, namespace, inputs)
    for variable in container.env or ():
        value = _value(variable, services | result, pod, container, inputs, downward)
        if value is not None:
            result[variable.name] = value
    return services | result


def _value(
    variable: EnvVar, known: Mapping[str, str], pod: Pod, container: Container, inputs: Inputs, downward: Downward
) -> str | None:
    """None: an optional source that is not there, so the variable is not set."""
    source = variable.value_from
    if source is None:
        return expand(variable.value or "", known)
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, downward)
    if source.resource_field_ref is not None:
        return resource_value(pod, container, source.resource_field_ref, downward)
    return _key_value(source, pod.metadata.namespace, inputs)


def _key_value(source: EnvVarSource, namespace: str, inputs: Inputs) -> str | None:
    ref: ConfigMapKeySelector | SecretKeySelector
    if source.config_map_key_ref is not None:
        ref, kind = source.config_map_key_ref, "configmap"
        values = _config_map_values(inputs.config_map(namespace, ref.name or ""))
    elif source.secret_key_ref is not None:
        ref, kind = source.secret_key_ref, "secret"
        values = _secret_values(inputs.secret(namespace, ref.name or ""))
    else:
        raise ConfigError("env valueFrom names no source that is supported")
    if values is not None and ref.key in values:
        return values[ref.key]
    if ref.optional:
        return None
    if values is None:
        raise ConfigError(f'{kind} "{ref.name}" not found')
    raise ConfigError(f"couldn't find key {ref.key} in {kind} {namespace}/{ref.name}")


def _env_from(source: EnvFromSource, namespace: str, inputs: Inputs) -> dict[str, str]:
    if source.config_map_ref is not None:
        name, optional, kind = source.config_map_ref.name or "", source.config_map_ref.optional, "configmap"
        values = _config_map_values(inputs.config_map(namespace, name))
    elif source.secret_ref is not None:
        name, optional, kind = source.secret_ref.name or "", source.secret_ref.optional, "secret"
        values = _secret_values(inputs.secret(namespace, name))
    else:
        return {}
    if values is None and not optional:
        raise ConfigError(f'{kind} "{name}" not found')
    return {(source.prefix or "") + key: values[key] for key in sorted(values or ())} if values else {}


def _config_map_values(config_map: ConfigMap | None) -> dict[str, str] | None:
    return None if config_map is None else dict(config_map.data or {})


def _secret_values(secret: Secret | None) -> dict[str, str] | None:
    return None if secret is None else {k: v.decode(errors="surrogateescape") for k, v in (secret.data or {}).items()}


_FIELDS: Mapping[str, Callable[[Pod, Downward], str]] = {
    "metadata.name": lambda pod, downward: pod.metadata.name,
    "metadata.namespace": lambda pod, downward: pod.metadata.namespace,
    "metadata.uid": lambda pod, downward: pod.metadata.uid,
    "spec.nodeName": lambda pod, downward: pod.spec.node_name or downward.node_name,
    "spec.serviceAccountName": lambda pod, downward: pod.spec.service_account_name or "",
    "status.hostIP": lambda pod, downward: downward.host_ip,
    "status.hostIPs": lambda pod, downward: downward.host_ip,
    "status.podIP": lambda pod, downward: downward.pod_ip,
    "status.podIPs": lambda pod, downward: downward.pod_ip,
}


def field_value(pod: Pod, path: str, downward: Downward) -> str:
    """The value of a downward API field. Raises ConfigError for a path that has none."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript is not None:
        source = pod.metadata.labels if subscript.group(1) == "labels" else pod.metadata.annotations
        return (source or {}).get(subscript.group(2), "")
    if path not in _FIELDS:
        raise ConfigError(f"fieldPath {path!r} is not supported in environment variables")
    return _FIELDS[path](pod, downward)


def resource_value(pod: Pod, container: Container, ref: ResourceFieldSelector, downward: Downward) -> str:
    """The amount divided by the divisor, rounded up. A limit that is not set is the pod's, or what the node can
    allocate."""
    named = (*pod.spec.containers, *(pod.spec.init_containers or ()))
    target = next((c for c in named if c.name == ref.container_name), None) if ref.container_name else container
    if target is None:
        raise ConfigError(f"container {ref.container_name} not found")
    which, _, resource = ref.resource.partition(".")
    limits = target.resources.limits or {}
    amounts = limits if which == "limits" else (target.resources.requests or {})
    amount = amounts.get(resource)
    if amount is None:
        at_most = {**downward.allocatable, **pod_level_limits(pod.spec)}
        amount = at_most.get(resource, "0") if which == "limits" else 0
    divisor = quantity.parse(ref.divisor) if ref.divisor else quantity.parse(1)
    return str((quantity.parse(amount) / (divisor or 1)).to_integral_value(ROUND_CEILING))


def service_variables(pod: Pod, inputs: Inputs) -> dict[str, str]:
    """Docker-link style variables for the services of the pod's namespace, and always for the API server's."""
    links = pod.spec.enable_service_links is not False
    services = [s for s in inputs.services(pod.metadata.namespace) if links]
    services += [s for s in inputs.services(MASTER_SERVICE[0]) if s.metadata.name == MASTER_SERVICE[1]]
    result: dict[str, str] = {}
    for service in services:
        if service.spec.cluster_ip not in (None, "", "None"):
            result |= dict(_of_service(service))
    return result


def _of_service(service: Service) -> Iterator[tuple[str, str]]:
    prefix = service.metadata.name.upper().replace("-", "_")
    address, ports = service.spec.cluster_ip or "", service.spec.ports or ()
    if not ports:
        return
    yield f"{prefix}_SERVICE_HOST", address
    yield f"{prefix}_SERVICE_PORT", str(ports[0].port)
    for port in ports:
        if port.name:
            yield f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}", str(port.port)
    first = (ports[0].protocol or "TCP").lower()
    yield f"{prefix}_PORT", f"{first}://{address}:{ports[0].port}"
    for port in ports:
        protocol = port.protocol or "TCP"
        link = f"{prefix}_PORT_{port.port}_{protocol}"
        yield link, f"{protocol.lower()}://{address}:{port.port}"
        yield f"{link}_PROTO", protocol.lower()
        yield f"{link}_PORT", str(port.port)
        yield f"{link}_ADDR", address
