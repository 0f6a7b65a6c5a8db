"""What a pod's RuntimeClass adds to it: overhead, node selector, tolerations. As the plugin RuntimeClass."""

from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import failures
from controlplane.store.cache import WatchCache
from orch.api import quantity
from orch.api.kinds import PODS, RUNTIMECLASSES
from orch.api.pod.spec import Pod, PodSpec
from orch.api.runtimeclass import Overhead, RuntimeClass, Scheduling
from orch.errors import Forbidden

UNFOUNDED_OVERHEAD = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"


class RuntimeClassAdmission:
    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    async def admit(self, request: Request, obj: Any) -> Any:
        if request.kind is not PODS or request.operation is not Operation.CREATE:
            return obj
        pod: Pod = obj
        name = pod.spec.runtime_class_name
        if not name:
            if pod.spec.overhead:
                raise _refused(pod, UNFOUNDED_OVERHEAD)
            return pod
        if self._cache.get(RUNTIMECLASSES, "", name) is None:
            await self._cache.fresh()
        if (stored := self._cache.get(RUNTIMECLASSES, "", name)) is None:
            raise _refused(pod, f'pod rejected: RuntimeClass "{name}" not found')
        return with_runtime_class(pod, stored.obj)


def with_runtime_class(pod: Pod, runtime_class: RuntimeClass) -> Pod:
    """Raises Forbidden where the pod contradicts its class."""
    return replace(pod, spec=_scheduled(pod, _with_overhead(pod, runtime_class), runtime_class))


def _with_overhead(pod: Pod, runtime_class: RuntimeClass) -> PodSpec:
    fixed = (runtime_class.overhead or Overhead()).pod_fixed
    if not fixed:
        if pod.spec.overhead:
            raise _refused(pod, UNFOUNDED_OVERHEAD)
        return pod.spec
    if pod.spec.overhead and quantity.canonical_map(pod.spec.overhead) != quantity.canonical_map(fixed):
        raise _refused(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    return replace(pod.spec, overhead=fixed)


def _scheduled(pod: Pod, spec: PodSpec, runtime_class: RuntimeClass) -> PodSpec:
    scheduling = runtime_class.scheduling or Scheduling()
    own, added = spec.node_selector or {}, scheduling.node_selector or {}
    for key in sorted(own.keys() & added.keys()):
        if own[key] != added[key]:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {added[key]}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}"
            )
            raise _refused(pod, why)
    present = spec.tolerations or ()
    tolerations = (*present, *(t for t in scheduling.tolerations or () if t not in present))
    return replace(spec, node_selector={**own, **added} or None, tolerations=tolerations or None)


def _refused(pod: Pod, why: str) -> Forbidden:
    return failures.forbidden(PODS, pod.metadata.name, why)
