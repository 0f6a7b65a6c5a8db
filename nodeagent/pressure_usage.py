"""What the pods of a node use of the resource that it is short of. Only reads."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from nodeagent.eviction import MEMORY, PIDS, STORAGE, PodUse
from nodeagent.runtime.figures import ContainerStorage, DiskUsage
from nodeagent.runtime.interface import Runtime
from orch.api.pod.spec import Pod

INODES = "inodes"
EmptyDirs = Callable[[Pod], Awaitable[Mapping[str, DiskUsage]]]
"""The emptyDirs of a pod that lie on disk, by volume name."""
Active = Iterable[tuple[Pod, bool]]
"""Pods that have not ended, each with whether it is static."""


async def use_of_memory(runtime: Runtime, active: Active) -> list[PodUse]:
    """Memory and processes, of the cgroups."""
    pods = {one.pod_uid: one.usage for one in await runtime.pod_stats()}
    containers: dict[str, dict[str, Mapping[str, int]]] = {}
    for one in await runtime.container_stats():
        used = {MEMORY: one.usage.memory_working_set_bytes, PIDS: one.usage.processes}
        containers.setdefault(one.pod_uid, {})[one.name] = used
    found = []
    for pod, is_static in active:
        uid = pod.metadata.uid
        if (usage := pods.get(uid)) is not None:
            used = {MEMORY: usage.memory_working_set_bytes, PIDS: usage.processes}
            found.append(PodUse(pod, used, containers.get(uid, {}), is_static=is_static))
    return found


async def use_of_disk(runtime: Runtime, active: Active, empty_dirs: EmptyDirs) -> list[PodUse]:
    """Bytes and inodes of writable layers, logs and emptyDirs. Counts files: slow where there are many."""
    counted: dict[str, list[ContainerStorage]] = {}
    for one in await runtime.container_storage():
        counted.setdefault(one.pod_uid, []).append(one)
    found = []
    for pod, is_static in active:
        volumes = await empty_dirs(pod)
        containers = _of_containers(counted.get(pod.metadata.uid, ()))
        used = _sum((*containers.values(), *map(_amounts, volumes.values())))
        sizes = {name: volume.used_bytes for name, volume in volumes.items()}
        found.append(PodUse(pod, used, containers, sizes, is_static))
    return found


def _of_containers(counted: Sequence[ContainerStorage]) -> dict[str, Mapping[str, int]]:
    """The attempts of one container share their log folder."""
    names = dict.fromkeys(one.name for one in counted)
    logs = {one.name: one.logs for one in counted}
    return {
        name: _sum((_amounts(logs[name]), *(_amounts(one.writable_layer) for one in counted if one.name == name)))
        for name in names
    }


def _amounts(usage: DiskUsage) -> dict[str, int]:
    return {STORAGE: usage.used_bytes, INODES: usage.inodes}


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
