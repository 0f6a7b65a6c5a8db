"""The number behind a pod's priority class, and at most one default class. As the plugin Priority of kube-apiserver."""

from typing import Any, cast

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import failures
from controlplane.store.cache import WatchCache
from controlplane.store.shelf import EVERYTHING
from orch.api.kinds import PODS, PRIORITYCLASSES
from orch.api.pod.spec import Pod, PodSpec
from orch.api.priorityclass import PREEMPT, PriorityClass

NO_CLASS = PriorityClass(preemption_policy=PREEMPT)


class PriorityAdmission:
    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    async def admit(self, request: Request, obj: Any) -> Any:
        if request.kind is PRIORITYCLASSES and obj is not None:
            self._check_only_default(obj)
        elif request.kind is PODS and request.operation is Operation.CREATE:
            pod: Pod = obj
            return replace(pod, spec=with_priority(pod.spec, await self._class_of(pod), pod.metadata.name))
        elif request.kind is PODS and request.operation is Operation.UPDATE and not request.subresource:
            return _keeping_priority(obj, cast(Pod, request.old).spec)
        return obj

    def _check_only_default(self, priority_class: PriorityClass) -> None:
        name, present = priority_class.metadata.name, self._default()
        if priority_class.global_default and present is not None and present.metadata.name != name:
            why = f"PriorityClass {present.metadata.name} is already marked as default. Only one default can exist"
            raise failures.forbidden(PRIORITYCLASSES, name, why)

    async def _class_of(self, pod: Pod) -> PriorityClass:
        name = pod.spec.priority_class_name
        if not name:
            return self._default() or NO_CLASS
        if self._cache.get(PRIORITYCLASSES, "", name) is None:
            await self._cache.fresh()
        if (stored := self._cache.get(PRIORITYCLASSES, "", name)) is None:
            raise failures.forbidden(PODS, pod.metadata.name, f"no PriorityClass with name {name} was found")
        return stored.obj

    def _default(self) -> PriorityClass | None:
        """The lowest of them, should there be several."""
        classes = (stored.obj for stored in self._cache.select(PRIORITYCLASSES, EVERYTHING))
        return min((c for c in classes if c.global_default), key=lambda c: c.value, default=None)


def _keeping_priority(pod: Pod, old: PodSpec) -> Pod:
    """Who replaces a pod by its manifest does not say what admission added to it."""
    spec = pod.spec
    kept = replace(
        spec,
        priority=old.priority if spec.priority is None else spec.priority,
        preemption_policy=spec.preemption_policy or old.preemption_policy,
    )
    return pod if kept == spec else replace(pod, spec=kept)


def with_priority(spec: PodSpec, priority_class: PriorityClass, pod_name: str) -> PodSpec:
    """Raises Forbidden where the pod's author wrote other numbers than the class has."""
    value, policy = priority_class.value, priority_class.preemption_policy or PREEMPT
    source = "admission controller computed"
    if spec.priority not in (None, value):
        why = (
            f"the integer value of priority ({spec.priority}) must not be provided in pod spec; priority {source} "
            f"{value} from the given PriorityClass name"
        )
        raise failures.forbidden(PODS, pod_name, why)
    if spec.preemption_policy not in (None, policy):
        why = (
            f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided in pod spec; "
            f"priority {source} {policy} from the given PriorityClass name"
        )
        raise failures.forbidden(PODS, pod_name, why)
    name = priority_class.metadata.name or spec.priority_class_name
    return replace(spec, priority_class_name=name, priority=value, preemption_policy=policy)
