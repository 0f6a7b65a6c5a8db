"""What this machine is, as the Node object tells it: capacity, allocatable, system info, addresses, conditions.

Capacity is the node's share of the machine: /proc limited by `--cpus` and `--memory`, which the node's cgroup enforces.
"""

import os
import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.pressure import DISK_PRESSURE, MEMORY_PRESSURE, PID_PRESSURE
from nodeagent.runtime.interface import Image
from orch.api import quantity
from orch.api.meta import ObjectMeta
from orch.api.node import ContainerImage, Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo

PODS_MAX = 110
"""As kubelet's default --max-pods."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""`uname -m` -> the name that Kubernetes and OCI use."""
KUBELET_VERSION = "v1.34.0+orch"
"""The version of Kubernetes whose kubelet this agent behaves like; clients compare it with the server's."""
IMAGES_MAX = 50
"""So many of the largest are told, as kubelet's default --node-status-max-images."""


@dataclass(frozen=True, slots=True)
class NodeShare:
    """The part of the machine that belongs to this node; None: all of it."""

    cpus: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What was read of the machine once, at the agent's start."""

    cpus: float
    memory_bytes: int
    disk_bytes: int
    boot_id: str
    machine_id: str
    system_uuid: str
    kernel: str
    os_image: str
    architecture: str


def read_machine(share: NodeShare, state_dir: Path) -> Machine:
    disk = os.statvfs(state_dir)
    memory = _meminfo()["MemTotal"]
    return Machine(
        cpus=min(share.cpus or float("inf"), float(os.cpu_count() or 1)),
        memory_bytes=min(share.memory_bytes or memory, memory),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        machine_id=_text("/etc/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        kernel=platform.release(),
        os_image=_os_image(_text("/etc/os-release")),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def node_object(
    name: str,
    address: str,
    machine: Machine,
    *,
    not_ready: str,
    runtime: str,
    pressures: Collection[str] = (),
    images: Iterable[Image] = (),
    allocatable: Mapping[str, str] | None = None,
) -> Node:
    """`not_ready`: why the node takes no pods yet; empty: it does. `runtime`: name and version, as `crun://1.8.1`.
    `pressures`: the conditions of pressure that are True. `allocatable`: what pods may have; None: all of it."""
    amounts = capacity(machine)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
    }
    addresses = (NodeAddress(type="InternalIP", address=address), NodeAddress(type="Hostname", address=name))
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        status=NodeStatus(
            addresses=addresses,
            capacity=dict(amounts),
            allocatable=dict(amounts if allocatable is None else allocatable),
            conditions=_conditions(not_ready, pressures),
            images=container_images(images),
            node_info=_system_info(machine, runtime),
        ),
    )


def capacity(machine: Machine) -> dict[str, str]:
    return {
        "cpu": quantity.canonical(f"{int(machine.cpus * 1000)}m"),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "pods": str(PODS_MAX),
    }


def memory_available_bytes() -> int:
    return _meminfo()["MemAvailable"]


def container_images(images: Iterable[Image]) -> tuple[ContainerImage, ...] | None:
    """The largest first; of the names, those with a digest first."""
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))[:IMAGES_MAX]
    return (
        tuple(ContainerImage(names=_digests_first(image.names), size_bytes=image.size_bytes) for image in largest)
        or None
    )


def _digests_first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: "@" not in name))


def _conditions(not_ready: str, pressures: Collection[str]) -> tuple[NodeCondition, ...]:
    """In the words that kubelet uses, which tools look for."""
    low_memory, low_disk, low_pids = (kind in pressures for kind in (MEMORY_PRESSURE, DISK_PRESSURE, PID_PRESSURE))
    enough = ("has insufficient", "has sufficient")
    ready = NodeCondition(
        type="Ready",
        status="False" if not_ready else "True",
        reason="KubeletNotReady" if not_ready else "KubeletReady",
        message=not_ready or "kubelet is posting ready status",
    )
    return (
        _pressure(MEMORY_PRESSURE, low_memory, ("InsufficientMemory", "SufficientMemory"), enough, "memory available"),
        _pressure(DISK_PRESSURE, low_disk, ("DiskPressure", "NoDiskPressure"), ("has", "has no"), "disk pressure"),
        _pressure(PID_PRESSURE, low_pids, ("InsufficientPID", "SufficientPID"), enough, "PID available"),
        ready,
    )


def _pressure(type_: str, pressed: bool, reasons: tuple[str, str], verbs: tuple[str, str], what: str) -> NodeCondition:
    """Of the pairs the first is said under pressure."""
    index = 0 if pressed else 1
    return NodeCondition(
        type=type_, status=str(pressed), reason=f"KubeletHas{reasons[index]}", message=f"kubelet {verbs[index]} {what}"
    )


def _system_info(machine: Machine, runtime: str) -> NodeSystemInfo:
    return NodeSystemInfo(
        architecture=machine.architecture,
        boot_id=machine.boot_id,
        container_runtime_version=runtime,
        kernel_version=machine.kernel,
        kubelet_version=KUBELET_VERSION,
        machine_id=machine.machine_id,
        operating_system="linux",
        os_image=machine.os_image,
        system_uuid=machine.system_uuid,
    )


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {parts[0].rstrip(":"): int(parts[1]) * 1024 for parts in lines}


def _text(path: str) -> str:
    """A small file's text; empty when the machine has no such file."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_image(os_release: str) -> str:
    fields = dict(line.partition("=")[::2] for line in os_release.splitlines())
    return fields.get("PRETTY_NAME", "Linux").strip('"')
