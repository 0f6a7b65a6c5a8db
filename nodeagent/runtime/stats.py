"""The runtime's figures: which cgroups, interfaces and folders belong to which pod and container.

Files are read in a thread: with a hundred pods they are thousands. Nothing is kept from one call to the next.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from nodeagent.runtime import usage
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.container import Container
from nodeagent.runtime.containers import Containers
from nodeagent.runtime.figures import ContainerStats, ContainerStorage, DiskUsage, PodStats, Usage
from nodeagent.runtime.interface import ContainerState, ContainerStatus
from nodeagent.runtime.sandboxes import Sandbox, Sandboxes
from orch.kit.clock import Clock

T = TypeVar("T")


class Stats:
    def __init__(
        self, cgroup_root: str, cgroups: Cgroups, sandboxes: Sandboxes, containers: Containers, clock: Clock
    ) -> None:
        self._cgroup_root, self._cgroups, self._clock = cgroup_root.strip("/"), cgroups, clock
        self._sandboxes, self._containers = sandboxes, containers
        self._one_count = asyncio.Lock()

    def node(self) -> Usage:
        return usage.of_cgroup(self._cgroups, self._cgroup_root)

    async def containers(self) -> Sequence[ContainerStats]:
        running = [self._containers.get(s.id)[0] for s in self._containers.all() if s.state is ContainerState.RUNNING]
        return await _in_thread(lambda: [self._container(found) for found in running])

    def _container(self, found: Container) -> ContainerStats:
        config = found.record.config
        used = usage.of_cgroup(self._cgroups, found.record.cgroup)
        return ContainerStats(found.id, config.pod_uid, config.name, config.attempt, self._clock.now(), used)

    async def pods(self) -> Sequence[PodStats]:
        ready = [sandbox for sandbox in self._sandboxes.all() if sandbox.is_ready()]
        return await _in_thread(lambda: self._pods(ready))

    def _pods(self, ready: Sequence[Sandbox]) -> list[PodStats]:
        paths = {s.config.pod_uid: path for s in ready if (path := s.namespaces().network)}
        networks = usage.of_networks(paths)
        return [
            PodStats(
                sandbox.config.pod_uid,
                sandbox.config.namespace,
                sandbox.config.name,
                self._clock.now(),
                usage.of_cgroup(self._cgroups, sandbox.cgroup),
                networks.get(sandbox.config.pod_uid),
            )
            for sandbox in ready
        ]

    async def storage(self) -> Sequence[ContainerStorage]:
        async with self._one_count:
            found = [(self._containers.get(status.id)[0], status) for status in self._containers.all()]
            return await _in_thread(lambda: [_storage(container, status) for container, status in found])


def _storage(container: Container, status: ContainerStatus) -> ContainerStorage:
    logs = DiskUsage() if status.log_path == os.devnull else usage.of_folder(os.path.dirname(status.log_path))
    return ContainerStorage(
        status.id, status.pod_uid, status.name, status.attempt, usage.of_folder(container.upper), logs
    )


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)
