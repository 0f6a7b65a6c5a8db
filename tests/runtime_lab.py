"""A node's runtime for tests that run as root: real namespaces, cgroups, overlayfs, crun and conmon.

The lab lives in a private mount namespace that the test process enters and leaves again, so that the machine's mounts
stay as they are. `leftovers` names everything that a runtime left: processes, mounts, cgroups, files.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodeagent.images.manifest import this_platform
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageStore
from nodeagent.runtime import syscalls
from nodeagent.runtime.cgroups import Cgroups
from nodeagent.runtime.interface import ContainerConfig, ContainerStatus, Image, PortMapping, SandboxConfig
from nodeagent.runtime.mount_namespace import prepare_mount_namespace
from nodeagent.runtime.reaping import reap_cgroup
from nodeagent.runtime.runtime import CrunRuntime
from orch.kit.clock import SystemClock
from tests.images import busybox_layer, write_layout

STEP_TIMEOUT_S = 60
"""Ends what hangs; an emulated machine is 20 times slower than this one, and a busy one slower still."""


@contextmanager
def private_mounts() -> Iterator[None]:
    """A mount namespace of the calling thread's own, for as long as the context lasts."""
    before, directory = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY), os.getcwd()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    try:
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        yield
    finally:
        syscalls.unshare(syscalls.CLONE_FS)  # setns refuses a thread that shares its working directory
        syscalls.setns(before, syscalls.CLONE_NEWNS)
        os.close(before)
        os.chdir(directory)


class RecordingNetwork:
    """A PodNetwork that gives out addresses and remembers who has one. No interface is made."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.paths: dict[str, str] = {}

    async def attach(self, pod_uid: str, netns_path: str, ports: Sequence[PortMapping]) -> str:
        self.paths[pod_uid] = netns_path
        return self.addresses.setdefault(pod_uid, f"10.244.0.{len(self.addresses) + 2}")

    async def detach(self, pod_uid: str) -> None:
        self.addresses.pop(pod_uid, None)


class RuntimeLab:
    """One node: folders, cgroup, network, and an image store that holds busybox. `runtime()` is one agent's runtime;
    a second one over the same lab is the agent after a restart."""

    def __init__(self, name: str, disk_bytes: int = 0) -> None:
        """`disk_bytes`: the state folder is a file system of its own, as large as that."""
        unique = f"orch-{name}-{os.getpid()}"
        self.run_dir = f"/run/{unique}"
        self.state_dir = tempfile.mkdtemp(prefix=f"{unique}-")
        if disk_bytes:
            syscalls.mount("none", self.state_dir, "tmpfs", options=f"size={disk_bytes}")
        self._has_disk = disk_bytes > 0
        self.cgroup_root = unique
        self.network = RecordingNetwork()
        os.makedirs(self.run_dir)
        syscalls.mount("none", self.run_dir, "tmpfs")
        self.cgroups = Cgroups(prepare_mount_namespace())
        self.images = NodeImages(ImageStore(f"{self.state_dir}/images"), this_platform())
        self.pods = 0

    async def busybox(self) -> Image:
        if image := await self.images.find("busybox:1"):
            return image
        return await self.load("busybox:1", [busybox_layer()], Cmd=["/bin/sh"])

    async def load(self, name: str, layers: Sequence[bytes], **config: object) -> Image:
        folder = tempfile.mkdtemp(dir=self.state_dir)
        [image] = await self.images.load(write_layout(folder, name, layers, **config))
        shutil.rmtree(folder)
        return image

    def runtime(self, **changes: Any) -> CrunRuntime:
        return CrunRuntime(
            run_dir=self.run_dir,
            state_dir=self.state_dir,
            cgroup_root=self.cgroup_root,
            network=self.network,
            images=self.images,
            cgroups=self.cgroups,
            clock=SystemClock(),
            **changes,
        )

    def sandbox(self, **changes: object) -> SandboxConfig:
        """A pod with a new uid."""
        self.pods += 1
        uid = f"0000-{self.pods}"
        config = SandboxConfig(
            pod_uid=uid,
            namespace="default",
            name=f"pod-{self.pods}",
            hostname=f"pod-{self.pods}",
            cgroup_parent=f"kubepods/burstable/pod{uid}",
            log_directory=f"{self.state_dir}/logs/{uid}",
        )
        return replace(config, **changes)  # type: ignore[arg-type]

    def log(self, sandbox: SandboxConfig, container: str = "main", attempt: int = 0) -> str:
        """What the container printed, without the CRI prefix and the last newline; parts of lines put together."""
        entries = [line.split(" ", 3)[2:] for line in self.raw_log(sandbox, container, attempt).splitlines()]
        return "".join(said if tag == "P" else f"{said}\n" for tag, said in entries).removesuffix("\n")

    def raw_log(self, sandbox: SandboxConfig, container: str = "main", attempt: int = 0) -> str:
        return Path(sandbox.log_directory, container, f"{attempt}.log").read_text()

    def cgroup_file(self, sandbox: SandboxConfig, file: str, container_id: str = "") -> str:
        """A file of the pod's or a container's cgroup, on whichever hierarchy has it."""
        path = f"{self.cgroup_root}/{sandbox.cgroup_parent}/{container_id}/{file}"
        found = [root for root in Path("/sys/fs/cgroup").iterdir() if (root / path).exists()]
        return ((found[0] if found else Path("/sys/fs/cgroup")) / path).read_text().strip()

    def container_file(self, container_id: str, name: str) -> str:
        """One of the files in a container's folder."""
        return Path(self.run_dir, "containers", container_id, name).read_text()

    def leftovers(self) -> list[str]:
        """What is there beside an idle runtime's own empty folders."""
        processes = [f"process {pid}: {command}" for pid, command in self._processes()]
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        folders = [f"{self.run_dir}/{name}" for name in ("sandboxes", "containers", "crun", "runc", "exec")]
        files = [str(path) for folder in (*folders, f"{self.state_dir}/containers") for path in _entries(folder)]
        trees = (f"*/{self.cgroup_root}", self.cgroup_root)  # cgroup v1, v2
        pods = [str(path) for tree in trees for path in Path("/sys/fs/cgroup").glob(f"{tree}/**/pod*")]
        logs = [str(path) for path in _entries(f"{self.state_dir}/logs")]
        return processes + [m for m in mounts if m.startswith(f"{self.run_dir}/")] + files + pods + logs

    def processes(self) -> list[int]:
        """Of the containers' monitors and the OCI runtime."""
        return [int(pid) for pid, _ in self._processes()]

    def _processes(self) -> Iterator[tuple[str, str]]:
        marks = (f"{self.run_dir}/", self.cgroup_root)
        return (found for found in _commands() if any(mark in found[1] for mark in marks))

    def close(self) -> None:
        """Also after a failed test: ends and unmounts whatever is still there."""
        asyncio.run(reap_cgroup(self.cgroups, self.cgroup_root))
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if (point := line.split()[4]).startswith(f"{self.run_dir}/"):
                syscalls.unmount(point)
        self.cgroups.remove(self.cgroup_root)
        syscalls.unmount(self.run_dir)
        os.rmdir(self.run_dir)
        if self._has_disk:
            syscalls.unmount(self.state_dir)
        shutil.rmtree(self.state_dir)


@dataclass
class Node:
    """A running agent's runtime in a lab."""

    lab: RuntimeLab
    runtime: CrunRuntime
    image: Image

    async def pod(self, **changes: object) -> SandboxConfig:
        sandbox = self.lab.sandbox(**changes)
        await self.runtime.run_pod_sandbox(sandbox)
        return sandbox

    async def start(self, config: ContainerConfig) -> str:
        container_id = await self.runtime.create_container(config)
        await self.runtime.start_container(container_id)
        return container_id

    async def end(self, container_id: str) -> ContainerStatus:
        """Waits for its end. Call it for one container at a time: it drops the news of others."""
        async with asyncio.timeout(STEP_TIMEOUT_S):
            while (status := await self.runtime.container_status(container_id)).finished_at is None:
                await anext(self.runtime.exits())
        return status

    async def output(self, script: str, sandbox: SandboxConfig | None = None, **changes: object) -> str:
        """What a container that runs the script to its end prints."""
        sandbox = sandbox or await self.pod()
        await self.end(await self.start(shell(sandbox, self.image, script, **changes)))
        return self.lab.log(sandbox)

    async def inside(self, container_id: str, *command: str) -> str:
        """What a command prints in a running container."""
        return (await self.runtime.exec_sync(container_id, command, STEP_TIMEOUT_S)).output.decode()

    def pid(self, container_id: str) -> int:
        return int(self.lab.container_file(container_id, "pid"))


@asynccontextmanager
async def running_node(lab: RuntimeLab) -> AsyncIterator[Node]:
    """Afterwards all pods are removed and nothing is left of them."""
    image = await lab.busybox()
    async with lab.runtime() as runtime:
        yield Node(lab, runtime, image)
        for sandbox in await runtime.list_pod_sandboxes():
            await runtime.remove_pod_sandbox(sandbox.pod_uid)
    assert lab.leftovers() == []


@contextmanager
def runtime_lab(name: str, disk_bytes: int = 0) -> Iterator[RuntimeLab]:
    with private_mounts():
        lab = RuntimeLab(name, disk_bytes)
        try:
            yield lab
        finally:
            lab.close()


def shell(sandbox: SandboxConfig, image: Image, script: str, **changes: object) -> ContainerConfig:
    """A container `main` that runs a shell script."""
    config = ContainerConfig(
        pod_uid=sandbox.pod_uid,
        name="main",
        attempt=0,
        image_id=image.id,
        command=("/bin/sh", "-c"),
        args=(script,),
        log_path="main/0.log",
    )
    return replace(config, **changes)  # type: ignore[arg-type]


def _commands() -> Iterator[tuple[str, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.parent.name, path.read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue


def _entries(folder: str) -> list[Path]:
    return list(Path(folder).iterdir()) if os.path.isdir(folder) else []
