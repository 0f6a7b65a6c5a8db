"""Which pod a node ends when it runs short, which it refuses, and what they are told. Pure.

After kubelet (pkg/kubelet/eviction/helpers.go): pods that use more than they requested go first, then those of low
priority, then those that exceed their request most. Static and critical pods never go, and are never refused.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from nodeagent.container_specs import container_specs
from nodeagent.pod_events import EndPod
from nodeagent.pressure import MEMORY_PRESSURE, RESOURCES, Level, Signal, Threshold
from nodeagent.shutdown import is_critical
from orch.api import quantity
from orch.api.base import Quantity
from orch.api.pod.container import Container
from orch.api.pod.effective import effective
from orch.api.pod.pod_level import requests_of
from orch.api.pod.spec import Pod
from orch.api.shared import Taint
from orch.api.tolerations import tolerated

EVICTED = "Evicted"
IMMEDIATE_GRACE_S = 1.0
MEMORY_TAINT = Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule")
MEMORY, STORAGE, PIDS = "memory", "ephemeral-storage", "pids"
TOLD_PER_CONTAINER = (MEMORY, STORAGE)
Amounts = Mapping[str, int]
"""Resource (as in pressure.RESOURCES) -> bytes or pieces."""


@dataclass(frozen=True, slots=True)
class PodUse:
    pod: Pod
    used: Amounts = field(default_factory=dict)
    containers: Mapping[str, Amounts] = field(default_factory=dict)
    """By name."""
    empty_dirs: Mapping[str, int] = field(default_factory=dict)
    """Volume name -> bytes on disk."""
    is_static: bool = False
    """It comes from a folder of the node's, not from the API server."""

    @property
    def may_go(self) -> bool:
        return not self.is_static and not is_critical(self.pod)


@dataclass(frozen=True, slots=True)
class Eviction:
    pod: Pod
    order: EndPod


def refusal(pod: Pod, conditions: Collection[str]) -> EndPod | None:
    """Why a new pod of the API server's does not start on a node under pressure (kubelet's admission)."""
    if not conditions or is_critical(pod):
        return None
    if set(conditions) == {MEMORY_PRESSURE}:
        best_effort = (pod.status.qos_class or "BestEffort") == "BestEffort"
        if not best_effort or tolerated(MEMORY_TAINT, pod.spec.tolerations or ()):
            return None
    return EndPod(EVICTED, f"The node had condition: [{' '.join(sorted(conditions))}]. ", 0.0, disrupts=False)


def over_own_limit(uses: Sequence[PodUse]) -> list[Eviction]:
    """Pods that hold more ephemeral storage than their own limits allow, whatever the node has left."""
    found = []
    for use in uses:
        message = _broken_limit(use) if use.may_go else ""
        if message:
            found.append(Eviction(use.pod, EndPod(EVICTED, message, IMMEDIATE_GRACE_S, disrupts=False)))
    return found


def choose(threshold: Threshold, level: Level, uses: Sequence[PodUse], *, max_grace_s: float = 0.0) -> Eviction | None:
    """The pod whose end relieves the node; None: there is none that may be ended."""
    resource = RESOURCES[threshold.signal]
    candidates = [use for use in uses if use.may_go]
    if not candidates:
        return None
    use = min(candidates, key=lambda use: _rank(use, resource))
    message = f"The node was low on resource: {resource}. {_shortage(threshold, level)}{_blame(use, resource)}"
    grace_s = IMMEDIATE_GRACE_S if threshold.is_hard else max_grace_s
    return Eviction(use.pod, EndPod(EVICTED, message, grace_s))


def has_storage_limit(pod: Pod) -> bool:
    limited = any(STORAGE in (spec.resources.limits or {}) for spec, _ in container_specs(pod))
    return limited or any(v.empty_dir is not None and v.empty_dir.size_limit for v in pod.spec.volumes or ())


def _rank(use: PodUse, resource: str) -> tuple[bool, int, int]:
    used, requested = use.used.get(resource, 0), _requested(use.pod, resource)
    within = used <= requested and resource != PIDS
    return within, use.pod.spec.priority or 0, requested - used


def _requested(pod: Pod, resource: str) -> int:
    def read(amounts: Mapping[str, Quantity] | None) -> dict[str, int]:
        return {resource: quantity.value(amounts[resource])} if amounts and resource in amounts else {}

    asked = requests_of(pod.spec, lambda container: read(container.resources.requests), read)
    return asked.get(resource, 0) + quantity.value((pod.spec.overhead or {}).get(resource, 0))


def _shortage(threshold: Threshold, level: Level) -> str:
    binary = threshold.signal in (Signal.MEMORY, Signal.NODEFS, Signal.IMAGEFS)
    least = quantity.from_value(threshold.least.of(level.capacity), binary=binary)
    return f"Threshold quantity: {least}, available: {quantity.from_value(level.available, binary=binary)}. "


def _blame(use: PodUse, resource: str) -> str:
    """The containers that use more than they requested."""
    if resource not in TOLD_PER_CONTAINER:
        return ""
    words = []
    for container in use.pod.spec.containers:
        used = use.containers.get(container.name, {}).get(resource, 0)
        requested = (container.resources.requests or {}).get(resource, 0)
        if used > quantity.value(requested):
            amount, request = quantity.from_value(used), quantity.canonical(requested)
            words.append(
                f"Container {container.name} was using {amount}, request is {request}, "
                f"has larger consumption of {resource}. "
            )
    return "".join(words)


def _broken_limit(use: PodUse) -> str:
    """In kubelet's order: volumes, the pod, its containers. Empty: none is broken."""
    for volume in use.pod.spec.volumes or ():
        limit = volume.empty_dir.size_limit if volume.empty_dir is not None else None
        if limit and use.empty_dirs.get(volume.name, 0) > quantity.value(limit) > 0:
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{quantity.canonical(limit)}". '
    whole = effective(use.pod.spec, _storage_limit).get(STORAGE)
    if whole is not None and use.used.get(STORAGE, 0) > whole:
        shown = quantity.from_value(whole)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {shown}. "
    for spec, _ in container_specs(use.pod):
        limit = (spec.resources.limits or {}).get(STORAGE)
        if limit is not None and use.containers.get(spec.name, {}).get(STORAGE, 0) > quantity.value(limit):
            shown = quantity.canonical(limit)
            return f'Container {spec.name} exceeded its local ephemeral storage limit "{shown}". '
    return ""


def _storage_limit(container: Container) -> dict[str, int]:
    limits = container.resources.limits or {}
    return {STORAGE: quantity.value(limits[STORAGE])} if STORAGE in limits else {}
