"""Ingress and IngressClass (networking.k8s.io/v1)."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

from orch.api.base import ApiStruct, Int32, always
from orch.api.causes import Causes
from orch.api.change import change, fill, into
from orch.api.formats import (
    SUBDOMAIN_MAX_CHARS,
    dns_1035_label_problem,
    dns_subdomain_problem,
    port_name_problem,
    port_problem,
)
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.api.shared import TypedLocalObjectReference
from orch.errors import Cause


class ServiceBackendPort(ApiStruct):
    is_atomic: ClassVar[bool] = True
    name: str | None = None
    number: Int32 | None = None


class IngressServiceBackend(ApiStruct):
    name: str = always("")
    port: ServiceBackendPort = always(ServiceBackendPort())


class IngressBackend(ApiStruct):
    resource: TypedLocalObjectReference | None = None
    service: IngressServiceBackend | None = None


class HTTPIngressPath(ApiStruct):
    backend: IngressBackend = always(IngressBackend())
    path: str | None = None
    path_type: str = always("")


class HTTPIngressRuleValue(ApiStruct):
    paths: tuple[HTTPIngressPath, ...] = always(())


class IngressRule(ApiStruct):
    host: str | None = None
    http: HTTPIngressRuleValue | None = None


class IngressTLS(ApiStruct):
    hosts: tuple[str, ...] | None = None
    secret_name: str | None = None


class IngressSpec(ApiStruct):
    default_backend: IngressBackend | None = None
    ingress_class_name: str | None = None
    rules: tuple[IngressRule, ...] | None = None
    tls: tuple[IngressTLS, ...] | None = None


class IngressPortStatus(ApiStruct):
    error: str | None = None
    port: Int32 = always(0)
    protocol: str = always("")


class IngressLoadBalancerIngress(ApiStruct):
    hostname: str | None = None
    ip: str | None = None
    ports: tuple[IngressPortStatus, ...] | None = None


class IngressLoadBalancerStatus(ApiStruct):
    ingress: tuple[IngressLoadBalancerIngress, ...] | None = None


class IngressStatus(ApiStruct):
    load_balancer: IngressLoadBalancerStatus = always(IngressLoadBalancerStatus())


class Ingress(Object):
    api_version: str = always("networking.k8s.io/v1")
    kind: str = always("Ingress")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: IngressSpec = always(IngressSpec())
    status: IngressStatus = always(IngressStatus())


class IngressClassParametersReference(ApiStruct):
    api_group: str | None = None
    kind: str = always("")
    name: str = always("")
    namespace: str | None = None
    scope: str | None = None


class IngressClassSpec(ApiStruct):
    controller: str | None = None
    parameters: IngressClassParametersReference | None = None


class IngressClass(Object):
    api_version: str = always("networking.k8s.io/v1")
    kind: str = always("IngressClass")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: IngressClassSpec = always(IngressClassSpec())


CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
SCOPES = ("Cluster", "Namespace")
CONTROLLER_MAX_CHARS = 250
_BAD_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_BAD_AT_ENDS = ("/..", "/.")
_WILDCARD_PREFIX = "*."
_URL_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def ingressclass_defaults(ingress_class: IngressClass) -> IngressClass:
    spec = ingress_class.spec
    parameters = into(spec.parameters, lambda reference: fill(reference, scope="Cluster"))
    return change(ingress_class, spec=change(spec, parameters=parameters))


def default_classes(classes: Iterable[IngressClass]) -> list[IngressClass]:
    """Those marked as the default, newest first, equally new ones by name."""
    marked = [c for c in classes if (c.metadata.annotations or {}).get(DEFAULT_ANNOTATION) == "true"]
    marked.sort(key=lambda c: c.metadata.name)
    return sorted(
        marked, key=lambda c: -c.metadata.creation_timestamp.timestamp() if c.metadata.creation_timestamp else 0
    )


def validate_ingress(ingress: Ingress) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, ingress.metadata)
    spec = ingress.spec
    old_class = (ingress.metadata.annotations or {}).get(CLASS_ANNOTATION)
    if old_class and spec.ingress_class_name is not None:
        path = f"annotations.{CLASS_ANNOTATION}"
        causes.invalid(path, old_class, "can not be set when the class field is also set")
    if spec.ingress_class_name is not None:
        causes.check("spec.ingressClassName", spec.ingress_class_name, dns_subdomain_problem(spec.ingress_class_name))
    if not spec.rules and spec.default_backend is None:
        causes.invalid("spec", spec.rules or (), "either `defaultBackend` or `rules` must be specified")
    if spec.default_backend is not None:
        _backend_rules(causes, "spec.defaultBackend", spec.default_backend)
    for index, rule in enumerate(spec.rules or ()):
        _rule_rules(causes, f"spec.rules[{index}]", rule)
    for index, tls in enumerate(spec.tls or ()):
        _tls_rules(causes, f"spec.tls[{index}]", tls)
    return causes.found


def validate_ingress_update(new: Ingress, old: Ingress) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    return causes.found


def validate_ingressclass(ingress_class: IngressClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, ingress_class.metadata, namespaced=False)
    spec = ingress_class.spec
    controller = spec.controller or ""
    if len(controller) > CONTROLLER_MAX_CHARS:
        causes.too_long("spec.controller", CONTROLLER_MAX_CHARS)
    if not controller:
        causes.required("spec.controller")
    else:
        causes.check("spec.controller", controller, _domain_path_problem(controller))
    if spec.parameters is not None:
        _parameters_rules(causes, "spec.parameters", spec.parameters)
    return causes.found


def validate_ingressclass_update(new: IngressClass, old: IngressClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    causes.immutable("spec.controller", new.spec.controller, old.spec.controller)
    return causes.found


def _rule_rules(causes: Causes, path: str, rule: IngressRule) -> None:
    if rule.host:
        if _is_address(rule.host):
            causes.invalid(f"{path}.host", rule.host, "must be a DNS name, not an IP address")
        else:
            causes.check(f"{path}.host", rule.host, _host_problem(rule.host))
    if rule.http is None:
        return
    if not rule.http.paths:
        causes.required(f"{path}.http.paths")
    for index, http_path in enumerate(rule.http.paths):
        _path_rules(causes, f"{path}.http.paths[{index}]", http_path)


def _path_rules(causes: Causes, path: str, http_path: HTTPIngressPath) -> None:
    value, at = http_path.path or "", f"{path}.path"
    match http_path.path_type:
        case "":
            causes.required(f"{path}.pathType", "pathType must be specified")
        case "Exact" | "Prefix":
            if not value.startswith("/"):
                causes.invalid(at, value, "must be an absolute path")
            if value:
                _path_text_rules(causes, at, value)
        case "ImplementationSpecific":
            if value and not value.startswith("/"):
                causes.invalid(at, value, "must be an absolute path")
        case other:
            causes.not_supported(f"{path}.pathType", other, PATH_TYPES)
    _backend_rules(causes, f"{path}.backend", http_path.backend)


def _path_text_rules(causes: Causes, path: str, value: str) -> None:
    for bad in _BAD_IN_PATHS:
        if bad in value:
            causes.invalid(path, value, f"must not contain '{bad}'")
    for bad in _BAD_AT_ENDS:
        if value.endswith(bad):
            causes.invalid(path, value, f"cannot end with '{bad}'")


def _backend_rules(causes: Causes, path: str, backend: IngressBackend) -> None:
    if backend.resource is not None and backend.service is not None:
        causes.invalid(path, "", "cannot set both resource and service backends")
    elif backend.resource is not None:
        for name, value in (("kind", backend.resource.kind), ("name", backend.resource.name)):
            if not value:
                causes.required(f"{path}.resource.{name}")
    elif backend.service is not None:
        _service_rules(causes, f"{path}.service", backend.service)
    else:
        causes.invalid(path, "", "service or resource backend is required")


def _service_rules(causes: Causes, path: str, service: IngressServiceBackend) -> None:
    if not service.name:
        causes.required(f"{path}.name")
    else:
        causes.check(f"{path}.name", service.name, dns_1035_label_problem(service.name))
    name, number = service.port.name, service.port.number
    if name and number:
        causes.invalid(f"{path}.port", "", "cannot set both port name & port number")
    elif name:
        causes.check(f"{path}.port.name", name, port_name_problem(name))
    elif number:
        if problem := port_problem(number):
            causes.invalid(f"{path}.port.number", number, problem)
    else:
        causes.required(f"{path}.port", "port name or number is required")


def _tls_rules(causes: Causes, path: str, tls: IngressTLS) -> None:
    for index, host in enumerate(tls.hosts or ()):
        causes.check(f"{path}.hosts[{index}]", host, _host_problem(host))
    if tls.secret_name:
        causes.check(f"{path}.secretName", tls.secret_name, dns_subdomain_problem(tls.secret_name))


def _parameters_rules(causes: Causes, path: str, reference: IngressClassParametersReference) -> None:
    if reference.api_group:
        causes.check(f"{path}.apiGroup", reference.api_group, dns_subdomain_problem(reference.api_group))
    for name, value in (("kind", reference.kind), ("name", reference.name)):
        if not value:
            causes.required(f"{path}.{name}")
    causes.one_of(f"{path}.scope", reference.scope, SCOPES)
    if reference.scope == "Namespace":
        if not reference.namespace:
            causes.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif reference.scope == "Cluster" and reference.namespace is not None:
        causes.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")


def _host_problem(host: str) -> str:
    """A DNS name whose first label may be `*`."""
    if "*" not in host:
        return dns_subdomain_problem(host)
    if not host.startswith(_WILDCARD_PREFIX):
        return (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
    return dns_subdomain_problem(host.removeprefix(_WILDCARD_PREFIX))


def _domain_path_problem(text: str) -> str:
    domain, slash, path = text.partition("/")
    if not slash or not domain or not path:
        return 'must be a domain-prefixed path (such as "acme.io/foo")'
    if problem := dns_subdomain_problem(domain):
        return problem
    return "" if _URL_PATH.fullmatch(path) and len(domain) <= SUBDOMAIN_MAX_CHARS else "Invalid path"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
