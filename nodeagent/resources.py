"""From requests and limits to what cgroups are set to, and back. Pure.

As kubelet's pkg/kubelet/cm/helpers_linux.go (ResourceConfigForPod), kuberuntime's generateLinuxContainerResources, and
qos/policy.go.
"""

import mmap
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import msgspec

from nodeagent.runtime.interface import UNLIMITED, Resources
from orch.api import quantity
from orch.api.base import Quantity
from orch.api.pod.container import Container
from orch.api.pod.effective import effective
from orch.api.pod.pod_level import has_pod_level, limits_of, pod_level_limits, requests_of
from orch.api.pod.spec import Pod
from orch.api.shared import ResourceRequirements

CPU_PERIOD_US = 100_000
CPU_QUOTA_MIN_US = 1_000
CPU_SHARES_MIN = 2
CPU_SHARES_PER_CPU = 1_024
CONTAINER_PIDS_MAX, POD_PIDS_MAX = 4_096, 16_384
"""Kubernetes sets no limit unless told; here a fork bomb is bounded from the start."""
OOM_SCORE_GUARANTEED, OOM_SCORE_BEST_EFFORT = -997, 1_000
MEMORY_THROTTLING_FACTOR = 0.9
"""Where between request and limit memory.high lies (kubelet's memoryThrottlingFactor)."""
RESIZABLE = ("cpu", "memory")
Amounts = Mapping[str, int]


class NodeResources(Protocol):
    """What of the node counts here."""

    @property
    def memory_bytes(self) -> int:
        """The node's capacity, which OOM scores are relative to."""

    @property
    def allocatable(self) -> Mapping[str, str]: ...

    @property
    def pod_pids_max(self) -> int | None:
        """None: what is usual here."""

    @property
    def memory_qos(self) -> bool: ...


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort, which the API server writes when the pod is created."""
    return pod.status.qos_class or "BestEffort"


def amounts(quantities: Mapping[str, Quantity] | None) -> dict[str, int]:
    """CPU in millicores, memory in bytes; other resources have no cgroup limit here."""
    named = quantities or {}
    read = {"cpu": quantity.milli, "memory": quantity.value}
    return {name: read[name](named[name]) for name in RESIZABLE if name in named}


def requested(container: Container) -> dict[str, int]:
    """A limit without a request requests itself."""
    return amounts(container.resources.limits) | amounts(container.resources.requests)


def limited(container: Container) -> dict[str, int]:
    return amounts(container.resources.limits)


def pod_requests(pod: Pod) -> dict[str, int]:
    """With its overhead."""
    return _with_overhead(pod, requests_of(pod.spec, requested, amounts))


def _with_overhead(pod: Pod, asked: Amounts) -> dict[str, int]:
    overhead = amounts(pod.spec.overhead)
    return {name: asked.get(name, 0) + overhead.get(name, 0) for name in RESIZABLE}


def pod_resources(pod: Pod, node: NodeResources) -> Resources:
    """The pod's own cgroup: what its containers may have at a time, limited only where the pod or each of them is."""
    containers = (*pod.spec.containers, *(pod.spec.init_containers or ()))
    requests, limits = pod_requests(pod), _with_overhead(pod, limits_of(pod.spec, limited, amounts))
    whole = amounts(pod_level_limits(pod.spec))
    bounded = [name for name in RESIZABLE if whole.get(name) or all(limited(c).get(name) for c in containers)]
    return Resources(
        cpu_shares=shares(requests["cpu"]),
        cpu_quota_us=quota_us(limits["cpu"]) if "cpu" in bounded else None,
        memory_limit_bytes=limits["memory"] if "memory" in bounded else None,
        memory_min_bytes=(requests["memory"] or None) if node.memory_qos else None,
        pids_limit=node.pod_pids_max or POD_PIDS_MAX,
    )


def container_resources(pod: Pod, container: Container, node: NodeResources) -> Resources:
    """A container without a limit may use what its pod may as a whole."""
    limits, requests = amounts(pod_level_limits(pod.spec)) | limited(container), requested(container)
    memory_request = requests.get("memory", 0)
    cpu_limit, memory_limit = limits.get("cpu"), limits.get("memory")
    return Resources(
        cpu_shares=shares(requests.get("cpu", 0)),
        cpu_quota_us=quota_us(cpu_limit) if cpu_limit else None,
        cpu_period_us=CPU_PERIOD_US,
        memory_limit_bytes=memory_limit or None,
        memory_request_bytes=memory_request or None,
        memory_min_bytes=(memory_request or None) if node.memory_qos else None,
        memory_high_bytes=_memory_high(memory_request, memory_limit, node) if node.memory_qos else None,
        pids_limit=node.pod_pids_max or CONTAINER_PIDS_MAX,
        oom_score_adj=_oom_score(qos_class(pod), memory_request + _shared_memory(pod), node.memory_bytes),
    )


def _shared_memory(pod: Pod) -> int:
    """A container's part, in bytes, of what the pod requests beyond its containers (kubelet's policy.go)."""
    if not has_pod_level(pod.spec):
        return 0
    containers = (*pod.spec.containers, *(c for c in pod.spec.init_containers or () if c.restart_policy == "Always"))
    whole, theirs = requests_of(pod.spec, requested, amounts), effective(pod.spec, requested)
    return max(whole.get("memory", 0) - theirs.get("memory", 0), 0) // len(containers)


def _memory_high(request: int, limit: int | None, node: NodeResources) -> int | None:
    """None where it would lie at the request or below: there is nothing to throttle before the limit."""
    bound = limit or quantity.value(node.allocatable.get("memory", node.memory_bytes))
    high = int(request + MEMORY_THROTTLING_FACTOR * (bound - request)) // mmap.PAGESIZE * mmap.PAGESIZE
    return high if request < high else None


def _oom_score(quality: str, memory_request_bytes: int, capacity_bytes: int) -> int:
    if quality == "Guaranteed":
        return OOM_SCORE_GUARANTEED
    if quality == "BestEffort":
        return OOM_SCORE_BEST_EFFORT
    score = 1000 - 1000 * memory_request_bytes // max(capacity_bytes, 1)
    return min(max(score, 1000 + OOM_SCORE_GUARANTEED), OOM_SCORE_BEST_EFFORT - 1)


def shares(cpu_milli: int) -> int:
    return max(cpu_milli * CPU_SHARES_PER_CPU // 1000, CPU_SHARES_MIN)


def quota_us(cpu_milli: int) -> int:
    return max(cpu_milli * CPU_PERIOD_US // 1000, CPU_QUOTA_MIN_US)


def widest(before: Resources, after: Resources) -> Resources:
    """Limits under which both have room: what a pod's cgroup has while its containers go from one to the other."""
    return replace(
        after,
        cpu_quota_us=_wider(before.cpu_quota_us, after.cpu_quota_us),
        memory_limit_bytes=_wider(before.memory_limit_bytes, after.memory_limit_bytes),
    )


def exactly(resources: Resources) -> Resources:
    """For an update: a limit or a promise that is not there is taken away."""
    return replace(
        resources,
        cpu_quota_us=UNLIMITED if resources.cpu_quota_us is None else resources.cpu_quota_us,
        memory_limit_bytes=UNLIMITED if resources.memory_limit_bytes is None else resources.memory_limit_bytes,
        memory_high_bytes=UNLIMITED if resources.memory_high_bytes is None else resources.memory_high_bytes,
        memory_request_bytes=resources.memory_request_bytes or 0,
        memory_min_bytes=resources.memory_min_bytes or 0,
    )


def _wider(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def observed(set_to: Resources, allocated: ResourceRequirements) -> ResourceRequirements:
    """What a container's cgroup amounts to. Where that is what `allocated` leads to, it is said in its words, since
    shares and quotas have lower ends."""
    requests, limits = amounts(allocated.requests), amounts(allocated.limits)
    wanted = limits | requests
    told_requests, told_limits = dict(allocated.requests or {}), dict(allocated.limits or {})
    if set_to.cpu_shares is not None and set_to.cpu_shares != shares(wanted.get("cpu", 0)):
        told_requests["cpu"] = quantity.from_milli(-(-set_to.cpu_shares * 1000 // CPU_SHARES_PER_CPU))
    if (set_to.memory_request_bytes or 0) != wanted.get("memory", 0):
        told_requests["memory"] = quantity.from_value(set_to.memory_request_bytes or 0)
    _tell(told_limits, "cpu", _cpu_limit(set_to, limits.get("cpu")))
    memory = None if set_to.memory_limit_bytes == UNLIMITED else set_to.memory_limit_bytes
    if memory != limits.get("memory"):
        _tell(told_limits, "memory", quantity.from_value(memory) if memory else None)
    return msgspec.structs.replace(allocated, requests=told_requests or None, limits=told_limits or None)


def _cpu_limit(set_to: Resources, allocated_milli: int | None) -> str | None:
    quota = None if set_to.cpu_quota_us == UNLIMITED else set_to.cpu_quota_us
    if quota is None:
        return None
    if allocated_milli and quota == quota_us(allocated_milli):
        return quantity.from_milli(allocated_milli)
    return quantity.from_milli(quota * 1000 // set_to.cpu_period_us)


def _tell(told: dict[str, Quantity], name: str, amount: str | None) -> None:
    if amount is None:
        told.pop(name, None)
    else:
        told[name] = amount
