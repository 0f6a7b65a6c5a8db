"""The pause: process 1 of a pod whose containers share one PID namespace (shareProcessNamespace).

Only such pods have one: a PID namespace lives as long as its process 1, so that it cannot be pinned. It is catatonit,
which waits and reaps orphans. No monitor: it has no output and its exit code means nothing.
"""

import json
import os
from dataclasses import dataclass
from typing import Any

from nodeagent.runtime import orphans
from nodeagent.runtime.conmon import read_pid
from nodeagent.runtime.crun import OciRuntime
from nodeagent.runtime.oci_spec import DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS, IdMapping, Namespaces, namespace_list
from nodeagent.runtime.syscalls import write_file

PAUSE_BINARY = "/usr/bin/catatonit"
PAUSE_IN_ROOT = "pause"


@dataclass(frozen=True, slots=True)
class Pause:
    """`folder` is the bundle; `cgroup` the pause's own, below the pod's."""

    container_id: str
    folder: str
    cgroup: str

    def pid(self) -> int | None:
        """None when it does not run. Its cgroup proves that the number has not gone to another process."""
        pid = read_pid(os.path.join(self.folder, "pid"))
        try:
            with open(f"/proc/{pid}/cgroup") as file:
                return pid if self.cgroup in file.read() else None
        except (FileNotFoundError, ProcessLookupError):
            return None


async def start(runtime: OciRuntime, pause: Pause, pod: Namespaces, ids: IdMapping | None, cgroup_v2: bool) -> None:
    """Repeatable. Raises RuntimeFault."""
    if pause.pid() is not None and not runtime.waits_for_start(pause.container_id):
        return
    await orphans.end_commands(pause.container_id)
    await runtime.delete(pause.container_id)
    _write_bundle(pause, pod, ids, cgroup_v2)
    await runtime.create(pause.container_id, pause.folder, os.path.join(pause.folder, "pid"))
    await runtime.start(pause.container_id)


def _write_bundle(pause: Pause, pod: Namespaces, ids: IdMapping | None, cgroup_v2: bool) -> None:
    root = os.path.join(pause.folder, "root")
    for folder in ("proc", "dev"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    with open(os.path.join(root, PAUSE_IN_ROOT), "w"):
        pass
    write_file(os.path.join(pause.folder, "config.json"), json.dumps(spec(pause, root, pod, ids, cgroup_v2)).encode())


def spec(pause: Pause, root: str, pod: Namespaces, ids: IdMapping | None, cgroup_v2: bool) -> dict[str, Any]:
    """No capability, a read-only root that holds one file, nothing to talk to."""
    nothing: dict[str, list[str]] = {kind: [] for kind in ("bounding", "effective", "permitted")}
    binary = {"destination": f"/{PAUSE_IN_ROOT}", "type": "bind", "source": PAUSE_BINARY, "options": ["bind", "ro"]}
    proc = {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}
    dev = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 65535, "gid": 65535},
            "args": [f"/{PAUSE_IN_ROOT}", "-P"],
            "env": [DEFAULT_PATH],
            "cwd": "/",
            "capabilities": nothing,
            "noNewPrivileges": True,
        },
        "root": {"path": root, "readonly": True},
        "mounts": [proc, dev, binary],
        "linux": {
            "cgroupsPath": f"/{pause.cgroup}",
            "namespaces": namespace_list(pod, cgroup_v2),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            **(ids.spec() if ids else {}),
        },
    }
