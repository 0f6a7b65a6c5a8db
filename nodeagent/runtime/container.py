"""One container on disk. Its folder on the run folder is the OCI bundle and holds all that is known about it:

    record.json   the configuration, written first
    config.json   for the OCI runtime
    rootfs/       the mounted root
    mounts/       volumes, and for a moment
    layers/       the image's layers, with shifted ids, in a pod with a user namespace
    created       written when the runtime has created it; without it the container does not exist yet
    started       the time, written just before the runtime starts it
    <id>          the exit code, written by the monitor
    lost          the time at which the monitor was found dead with no exit code written

Each file is written once and whole (limits in record.json may change), so the state can be read off at any moment,
by any agent process. `writable` is on disk: the container's own files.
"""

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from nodeagent.runtime import overlay
from nodeagent.runtime.conmon import CONTAINER_PID_FILE, Monitored, read_pid
from nodeagent.runtime.crun import OciRuntime
from nodeagent.runtime.interface import ContainerConfig, ContainerState, ContainerStatus
from nodeagent.runtime.syscalls import write_file
from orch.kit.clock import Moment

RECORD, SPEC, ROOT, CREATED, STARTED, LOST = "record.json", "config.json", "rootfs", "created", "started", "lost"
MOUNTS, SCRATCH = "mounts", "layers"
KILLED_EXIT_CODE = 128 + signal.SIGKILL


class Record(msgspec.Struct, frozen=True):
    """`cgroup` is relative to the hierarchies' roots; `log_path` is absolute; `handler` names the OCI runtime."""

    config: ContainerConfig
    cgroup: str
    log_path: str
    stop_signal: int
    created_at: datetime
    handler: str


@dataclass(frozen=True, slots=True)
class Container:
    id: str
    folder: str
    writable: str
    record: Record

    @property
    def root(self) -> str:
        return os.path.join(self.folder, ROOT)

    @property
    def upper(self) -> str:
        """What it wrote into its root."""
        return os.path.join(self.writable, overlay.UPPER)

    def mapped_mounts(self) -> list[str]:
        """Where its volumes are mounted with shifted ids, in a pod with a user namespace."""
        return [os.path.join(self.folder, MOUNTS, str(number)) for number in range(len(self.record.config.mounts))]

    def mount_points(self) -> list[str]:
        """Wherever something of it may be mounted, also by a start that a crash cut short."""
        found = [self.root]
        for name in (MOUNTS, SCRATCH):
            folder = os.path.join(self.folder, name)
            found += [os.path.join(folder, entry) for entry in (os.listdir(folder) if os.path.isdir(folder) else ())]
        return found

    @property
    def spec_path(self) -> str:
        return os.path.join(self.folder, SPEC)

    @property
    def monitored(self) -> Monitored:
        config = self.record.config
        return Monitored(self.id, self.folder, self.record.log_path, config.tty, config.stdin, config.stdin_once)

    def spec(self) -> dict[str, Any]:
        """The content of config.json."""
        with open(self.spec_path) as file:
            found: dict[str, Any] = json.load(file)
            return found

    def save(self) -> None:
        write_file(os.path.join(self.folder, RECORD), msgspec.json.encode(self.record))

    def has(self, marker: str) -> bool:
        return os.path.exists(os.path.join(self.folder, marker))

    def mark(self, marker: str, moment: Moment) -> None:
        """On both clocks: the steady one begins at boot, and the folder does not outlive one."""
        write_file(os.path.join(self.folder, marker), f"{moment.wall.isoformat()} {moment.steady_s}".encode())

    def marked_at(self, marker: str) -> Moment | None:
        try:
            with open(os.path.join(self.folder, marker)) as file:
                wall, _, steady_s = file.read().partition(" ")
        except FileNotFoundError:
            return None
        return Moment(datetime.fromisoformat(wall), float(steady_s or 0.0))  # earlier versions did not write it

    def exited(self) -> tuple[int, datetime] | None:
        """The exit code and when, once the monitor has written it."""
        try:
            with open(self.monitored.exit_file) as file:
                finished = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
                return int(file.read()), finished
        except FileNotFoundError:
            return None

    def signal(self, number: int) -> None:
        """To its first process. Its cgroup proves that the pid has not gone to another; a process that is gone needs no
        signal."""
        pid = read_pid(os.path.join(self.folder, CONTAINER_PID_FILE))
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if pid is None:
                return
            pidfd = os.pidfd_open(pid)
            try:
                with open(f"/proc/{pid}/cgroup") as file:
                    if self.id in file.read():
                        signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)


def load(container_id: str, folder: str, writable: str) -> Container | None:
    """None when the folder has no record: it was made, and nothing in it."""
    try:
        with open(os.path.join(folder, RECORD), "rb") as file:
            return Container(container_id, folder, writable, msgspec.json.decode(file.read(), type=Record))
    except FileNotFoundError:
        return None


def status(container: Container, oci: OciRuntime, oom_kills: int) -> ContainerStatus:
    """What the files say."""
    config, exited, lost_at = container.record.config, container.exited(), container.marked_at(LOST)
    started_at = container.marked_at(STARTED)
    if exited:
        state = ContainerState.EXITED
    elif lost_at:
        state, exited = ContainerState.UNKNOWN, (KILLED_EXIT_CODE, lost_at.wall)
    elif started_at and not oci.waits_for_start(container.id):
        state = ContainerState.RUNNING
    else:
        state, started_at = ContainerState.CREATED, None
    return ContainerStatus(
        id=container.id,
        pod_uid=config.pod_uid,
        name=config.name,
        attempt=config.attempt,
        image_id=config.image_id,
        image=config.image,
        state=state,
        created_at=container.record.created_at,
        started_at=started_at.wall if started_at else None,
        started_s=started_at.steady_s if started_at else None,
        finished_at=exited[1] if exited else None,
        exit_code=exited[0] if exited else 0,
        oom_killed=bool(exited and oom_kills),
        log_path=container.record.log_path,
        resources=config.resources,
    )
