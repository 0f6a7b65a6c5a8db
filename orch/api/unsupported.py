"""Fields that the API knows and Orch does not act on yet, with what follows from setting them.

A field is honoured, warned about or refused, never silently ignored: what is in these tables is stored with a Warning;
where ignoring it would change what runs, weaken isolation or lose data, the pod's containers do not start
(CreateContainerConfigError). Whoever makes a field work deletes its row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from ipaddress import ip_address
from typing import Any

from orch.api.kind import Kind
from orch.api.memo import remembered
from orch.api.meta import Object
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import Volume
from orch.api.schema import fields_of


class Consequence(StrEnum):
    """What a set field leads to; the text ends the warning."""

    WARN = "is stored, but not acted on"
    BLOCK = "is not supported: containers of the pod do not start"


def _never(spec: Any, holder: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field by its JSON path; a list stands for each of its items.

    `harmless` values ask for what happens anyway; `honoured` tells from the object's (pod) spec and the struct that
    holds the field whether the field is acted on after all.
    """

    path: str
    consequence: Consequence
    harmless: tuple[Any, ...] = ()
    honoured: Callable[[Any, Any], bool] = _never


def _block(path: str, *harmless: Any, honoured: Callable[[Any, Any], bool] = _never) -> Unsupported:
    return Unsupported(path, Consequence.BLOCK, harmless, honoured)


def _warn(path: str, *harmless: Any, honoured: Callable[[Any, Any], bool] = _never) -> Unsupported:
    return Unsupported(path, Consequence.WARN, harmless, honoured)


def _is_reachable(spec: Any, port: Any) -> bool:
    """Whether a port of the node (if it is one) is on an address that a pod can be reached at: loopback and IPv6 are
    not translated."""
    if spec.host_network or not port.host_port:
        return True
    address = ip_address(port.host_ip)
    return address.version == 4 and not address.is_loopback


def _below(prefix: str, rows: Sequence[Unsupported]) -> tuple[Unsupported, ...]:
    return tuple(replace(row, path=f"{prefix}.{row.path}") for row in rows)


_CONTAINER = (
    _block("env.valueFrom.fileKeyRef"),
    _block("ports.hostIP", "0.0.0.0", "::", honoured=_is_reachable),
    _block("resources.claims"),
    _block("restartPolicyRules"),
    _block("securityContext.appArmorProfile.type", "Unconfined"),
    _block("securityContext.seLinuxOptions"),
    _warn("securityContext.windowsOptions"),
    _block("volumeDevices"),
)

_VOLUMES_THAT_WORK = frozenset(
    {
        "name", "configMap", "downwardAPI", "emptyDir", "ephemeral", "hostPath", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip

_POD_SPEC = (
    *_below("containers", _CONTAINER),
    *_below("initContainers", _CONTAINER),
    *_below("ephemeralContainers", _CONTAINER),
    *(_block(f"volumes.{source}") for source in fields_of(Volume) if source not in _VOLUMES_THAT_WORK),
    _block("volumes.emptyDir.medium", "Memory"),
    _block("volumes.projected.sources.clusterTrustBundle"),
    _block("volumes.projected.sources.podCertificate"),
    _warn("affinity.podAffinity"),
    _warn("affinity.podAntiAffinity"),
    _block("os.name", "linux"),
    _warn("preemptionPolicy", "PreemptLowerPriority"),
    _block("resourceClaims"),
    _block("securityContext.appArmorProfile.type", "Unconfined"),
    _block("securityContext.seLinuxOptions"),
    _warn("securityContext.seLinuxChangePolicy"),
    _warn("securityContext.windowsOptions"),
    _warn("topologySpreadConstraints"),
)


UNSUPPORTED: Mapping[str, tuple[Unsupported, ...]] = {
    "Pod": _below("spec", _POD_SPEC),
    "ReplicaSet": _below("spec.template.spec", _POD_SPEC),
    "Deployment": _below("spec.template.spec", _POD_SPEC),
    "Service": (
        _warn("spec.allocateLoadBalancerNodePorts", True),
        _warn("spec.healthCheckNodePort"),
        _warn("spec.loadBalancerClass"),
        _warn("spec.loadBalancerIP"),
        _warn("spec.trafficDistribution"),
        _warn("spec.type", "ClusterIP", "NodePort", "ExternalName"),
    ),
    "Secret": (
        Unsupported(
            "type",
            Consequence.WARN,
            ("Opaque", "kubernetes.io/basic-auth", "kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson",
             "kubernetes.io/ssh-auth", "kubernetes.io/tls"),
        ),
    ),
    "Node": (_warn("spec.configSource"),),
    "PersistentVolumeClaim": (
        _warn("spec.dataSource"),
        _warn("spec.dataSourceRef"),
        _warn("spec.volumeAttributesClassName"),
    ),
}  # fmt: skip
"""Kind -> the fields of its objects that nothing acts on."""

IDLE_KINDS = frozenset(
    {
        "ReplicationController", "StatefulSet", "DaemonSet", "Job", "CronJob", "HorizontalPodAutoscaler", "Ingress",
        "NetworkPolicy",
    }
)  # fmt: skip
"""Kinds without a controller of their own."""


def warnings_for(kind: Kind[Any], obj: Object) -> list[str]:
    """A sentence per set field that is not acted on, for the Warning headers of a write."""
    if isinstance(obj, Pod):
        return list(_pod_warnings(obj.spec))
    if kind.kind in IDLE_KINDS:
        return [f"{kind.kind}: objects of this kind are stored, but nothing acts on them yet"]
    return [f"{path}: {row.consequence}" for row, path in _set_fields(kind.kind, obj)]


@remembered
def _pod_warnings(spec: PodSpec) -> tuple[str, ...]:
    return tuple(f"{path}: {row.consequence}" for row, path in _set_fields("Pod", Pod(spec=spec)))


def blocking_field(pod: Pod) -> str | None:
    """The path of a field because of which the containers of a pod must not start."""
    return next((path for row, path in _set_fields("Pod", pod) if row.consequence is Consequence.BLOCK), None)


_Tree = dict[str, "_Tree | Unsupported"]


@cache
def _tree(kind: str) -> _Tree:
    """The rows of a kind by the steps of their paths, so that a branch that is not set is passed over at once."""
    root: _Tree = {}
    for row in UNSUPPORTED.get(kind, ()):
        *steps, last = row.path.split(".")
        node = root
        for step in steps:
            child = node.setdefault(step, {})
            assert isinstance(child, dict), f"{row.path}: a row for {step} covers it"
            node = child
        node[last] = row
    return root


def _set_fields(kind: str, obj: Object) -> Iterator[tuple[Unsupported, str]]:
    tree = _tree(kind)
    if not tree:
        return
    spec = getattr(obj, "spec", None)
    template = getattr(spec, "template", None)
    for row, path, holder in _find(obj, tree, "", None):
        if not row.honoured(template.spec if template is not None else spec, holder):
            yield row, path


def _find(value: Any, tree: _Tree | Unsupported, path: str, holder: Any) -> Iterator[tuple[Unsupported, str, Any]]:
    """Every row whose field is set, with the field's own path (indices written out) and the struct that holds it.

    Zero values are not set, except a false that denies a harmless true.
    """
    if isinstance(tree, Unsupported):
        if value not in tree.harmless:
            yield tree, path, holder
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _find(item, tree, f"{path}[{index}]", holder)
    elif isinstance(value, dict):
        for key, branch in tree.items():
            if key in value:
                yield from _find(value[key], branch, f"{path}[{key}]", holder)
    else:
        fields = fields_of(value.__class__)
        for name, branch in tree.items():
            inner = getattr(value, fields[name].attribute)
            if inner or (inner is False and isinstance(branch, Unsupported) and True in branch.harmless):
                yield from _find(inner, branch, f"{path}.{name}" if path else name, value)
