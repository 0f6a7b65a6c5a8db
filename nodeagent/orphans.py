"""Removes what a killed agent has left of pods that are not wanted any more: sandboxes, volumes, logs."""

import asyncio
import shutil
from collections.abc import Container
from pathlib import Path

import structlog

from nodeagent.pod_parts import PodParts
from orch.errors import OrchError
from orch.kit.backoff import Backoff
from orch.kit.threads import in_thread

log = structlog.get_logger(__name__)

DELAY_MIN_S, DELAY_MAX_S = 2.0, 300.0


async def remove_orphans(parts: PodParts, wanted: Container[str]) -> None:
    """Until nothing is held of a pod whose uid is not in `wanted`, which may change meanwhile."""
    backoff = Backoff[str](DELAY_MIN_S, DELAY_MAX_S)
    delay_s = 0.0
    while not await _removed_all(parts, wanted, delay_s):
        delay_s = backoff.next_s("orphans")


async def _removed_all(parts: PodParts, wanted: Container[str], delay_s: float) -> bool:
    await asyncio.sleep(delay_s)
    try:
        held = [sandbox.pod_uid for sandbox in await parts.runtime.list_pod_sandboxes()]
        held += await parts.volumes.known()
        held += _with_logs(parts.pod_logs)
    except (OrchError, OSError) as error:
        log.warning("orphans_unknown", error=str(error))
        return False
    return all([uid in wanted or await _removed(parts, uid) for uid in dict.fromkeys(held)])


async def _removed(parts: PodParts, uid: str) -> bool:
    try:
        await parts.runtime.stop_pod_sandbox(uid)
        await parts.runtime.remove_pod_sandbox(uid)
        await parts.volumes.remove(uid)
        await in_thread(lambda: _remove_logs(parts.pod_logs, uid))
    except (OrchError, OSError) as error:
        log.warning("orphan_stays", uid=uid, error=str(error))
        return False
    log.info("orphan_removed", uid=uid)
    return True


def _with_logs(pod_logs: Path) -> list[str]:
    """Uids. After a reboot nothing but its logs tells of a pod that was deleted meanwhile."""
    return [folder.name.rpartition("_")[2] for folder in pod_logs.iterdir()] if pod_logs.exists() else []


def _remove_logs(pod_logs: Path, uid: str) -> None:
    for folder in list(pod_logs.glob(f"*_{uid}")):
        shutil.rmtree(folder)
