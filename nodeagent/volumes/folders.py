"""Where the parts of a pod's volumes lie on this node. Pure.

On disk what must outlive a reboot or what a pod may make large: emptyDirs and its own files in /etc. The rest is on
tmpfs, so that a Secret never reaches a disk.
"""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.volumes.plan import MEMORY_MEDIUM
from orch.api.pod.volume import Volume


@dataclass(frozen=True, slots=True)
class Folders:
    disk: Path
    memory: Path
    """On tmpfs."""

    def of_pod(self, pod_uid: str) -> tuple[Path, Path]:
        return self.disk / pod_uid, self.memory / pod_uid

    def volume(self, pod_uid: str, volume: Volume) -> Path:
        if volume.host_path is not None:
            return Path(volume.host_path.path)
        on_disk = volume.empty_dir is not None and volume.empty_dir.medium != MEMORY_MEDIUM
        return (self.disk if on_disk else self.memory) / pod_uid / "volumes" / volume.name

    def sub_path(self, pod_uid: str, container: str, index: int) -> Path:
        """Where the part of a volume that a container mounts at `volumeMounts[index]` is mounted first."""
        return self.memory / pod_uid / "sub-paths" / container / str(index)

    def pod_files(self, pod_uid: str) -> Path:
        """Where its /etc/hosts and the like lie, which its containers may write to without limit."""
        return self.disk / pod_uid / "etc"
