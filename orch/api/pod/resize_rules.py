"""Rules of resizing a pod: resize policies, and what a write of the `resize` subresource may change.

As core validation's ValidatePodResize: cpu and memory of containers and sidecars alone, within the pod's QoS class.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from orch.api.base import Quantity
from orch.api.causes import Causes
from orch.api.pod.container import Container
from orch.api.pod.qos import qos_class
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.static import is_mirror
from orch.api.shared import ResourceRequirements
from orch.errors import Cause

RESIZABLE = frozenset({"cpu", "memory"})
ONLY_RESIZABLE = "only cpu and memory resources are mutable"


def resize_policy_rules(causes: Causes, path: str, container: Container, pod_restart_policy: str | None) -> None:
    """Beside what holds for each policy: one per resource, and no restart where nothing ever restarts."""
    never = pod_restart_policy == "Never" and container.restart_policy != "Always"
    named: set[str] = set()
    for index, policy in enumerate(container.resize_policy or ()):
        at = f"{path}.resizePolicy[{index}]"
        if policy.resource_name in named:
            causes.duplicate(at, policy.resource_name)
        named.add(policy.resource_name)
        if never and policy.restart_policy != "NotRequired":
            why = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            causes.invalid(f"{at}.restartPolicy", policy.restart_policy, why)


def resized(new: PodSpec, old: PodSpec) -> PodSpec:
    """The old spec with what `new` says of resources and resize policies: a resize brings nothing else."""
    wanted = {c.name: c for c in (*new.containers, *(new.init_containers or ()))}

    def taken(container: Container) -> Container:
        ask = wanted.get(container.name, container)
        return replace(container, resources=ask.resources, resize_policy=ask.resize_policy)

    return replace(
        old,
        containers=tuple(map(taken, old.containers)),
        init_containers=tuple(map(taken, old.init_containers)) if old.init_containers else old.init_containers,
    )


def validate_resize(new: Pod, old: Pod) -> Sequence[Cause]:
    causes = Causes()
    refused = _why_no_resize(old)
    if refused:
        causes.forbidden("", refused)
        return causes.found
    if qos_class(new.spec) != (old.status.qos_class or qos_class(old.spec)):
        why = "Pod QOS Class may not change as a result of resizing"
        causes.invalid("status.qosClass", qos_class(new.spec), why)
    for path, after, before in (
        ("spec.containers", new.spec.containers, old.spec.containers),
        ("spec.initContainers", new.spec.init_containers or (), old.spec.init_containers or ()),
    ):
        for index, (wanted, present) in enumerate(zip(after, before, strict=True)):
            if wanted != present:
                _container_rules(causes, f"{path}[{index}]", wanted, present, is_init=path != "spec.containers")
    return causes.found


def _why_no_resize(pod: Pod) -> str:
    if is_mirror(pod):
        return "static pods cannot be resized"
    if pod.spec.os is not None and pod.spec.os.name == "windows":
        return "windows pods cannot be resized"
    return "pods with pod-level resources cannot be resized" if pod.spec.resources is not None else ""


def _container_rules(causes: Causes, path: str, new: Container, old: Container, *, is_init: bool) -> None:
    if is_init and old.restart_policy != "Always":
        causes.forbidden(path, "only cpu and memory resources for sidecar containers are mutable")
        return
    restored = replace(new, resources=_without_resizable(new.resources))
    if restored != replace(old, resources=_without_resizable(old.resources)):
        causes.forbidden(path, ONLY_RESIZABLE)
    for what, after, before in (
        ("requests", new.resources.requests, old.resources.requests),
        ("limits", new.resources.limits, old.resources.limits),
    ):
        if RESIZABLE & (set(before or {}) - set(after or {})):
            causes.forbidden(f"{path}.resources.{what}", f"resource {what} cannot be removed")


def _without_resizable(resources: ResourceRequirements) -> ResourceRequirements:
    return replace(resources, limits=_others(resources.limits), requests=_others(resources.requests))


def _others(amounts: Mapping[str, Quantity] | None) -> dict[str, Quantity] | None:
    return {name: amount for name, amount in (amounts or {}).items() if name not in RESIZABLE} or None
