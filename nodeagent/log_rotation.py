"""Keeps container logs from filling the disk: a log that is long is renamed, and the oldest of the renamed removed.

As kubelet's container log manager (pkg/kubelet/logs), with its defaults and names: `<n>.log` becomes
`<n>.log.<time>`, which the log reader takes as what came before. One container's fault is never another's.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from nodeagent.runtime.interface import ContainerState, ContainerStatus
from orch.errors import OrchError
from orch.kit.clock import Clock

log = structlog.get_logger(__name__)

LOG_BYTES_MAX = 10 * 1024 * 1024
"""kubelet's containerLogMaxSize."""
LOG_FILES_MAX = 5
"""kubelet's containerLogMaxFiles: the one that is written to counts."""
ROTATION_PERIOD_S = 10.0
TIME_FORMAT = "%Y%m%d-%H%M%S"


class LoggingRuntime(Protocol):
    """What of the runtime is needed here."""

    async def list_containers(self) -> Sequence[ContainerStatus]: ...

    async def reopen_container_log(self, container_id: str) -> None:
        """Raises RuntimeFault."""


class LogRotation:
    def __init__(self, runtime: LoggingRuntime, clock: Clock) -> None:
        self._runtime, self._clock = runtime, clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(ROTATION_PERIOD_S)
            try:
                await self.rotate()
            except (OrchError, OSError) as error:
                log.warning("logs_not_rotated", error=str(error), next_try_in_s=ROTATION_PERIOD_S)

    async def rotate(self) -> None:
        """One look at all containers that run."""
        for container in await self._runtime.list_containers():
            if container.state is ContainerState.RUNNING:
                try:
                    await self._rotate(container)
                except (OrchError, OSError) as error:
                    log.warning("log_not_rotated", container_id=container.id, error=str(error))

    async def _rotate(self, container: ContainerStatus) -> None:
        """When the file cannot be reopened the name goes back, so that what the container says stays readable."""
        path = Path(container.log_path)
        if not _is_long(path):
            return
        rotated = _next_name(path, self._clock.now())
        os.rename(path, rotated)
        try:
            await self._runtime.reopen_container_log(container.id)
        except BaseException:
            _restore(rotated, path)
            raise
        _remove_oldest(path)


def _is_long(path: Path) -> bool:
    return path.is_file() and path.stat().st_size >= LOG_BYTES_MAX


def _next_name(path: Path, now: datetime) -> Path:
    """Higher than every name before it, although the clock may have been set back: readers go by the names' order."""
    stamp = now.strftime(TIME_FORMAT)
    newest = max((file.suffix[1:] for file in path.parent.glob(f"{path.name}.*")), default="")
    if newest >= stamp:
        stamp = (datetime.strptime(newest, TIME_FORMAT) + timedelta(seconds=1)).strftime(TIME_FORMAT)
    return path.with_name(f"{path.name}.{stamp}")


def _restore(rotated: Path, path: Path) -> None:
    if not path.exists():
        rotated.rename(path)


def _remove_oldest(path: Path) -> None:
    rotated = sorted(path.parent.glob(f"{path.name}.*"))
    for doomed in rotated[: -(LOG_FILES_MAX - 1)]:
        doomed.unlink(missing_ok=True)
