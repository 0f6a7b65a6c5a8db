"""What this machine is, as the Node object tells it: capacity, allocatable, system info, addresses, conditions.

Capacity is the node's share of the machine: /proc limited by `--cpus` and `--memory`, which the node's cgroup enforces.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from orch.api import quantity
from orch.api.meta import ObjectMeta
from orch.api.node import Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo

PODS_MAX = 110
"""As kubelet's default --max-pods."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""`uname -m` -> the name that Kubernetes and OCI use."""
KUBELET_VERSION = "v1.34.0+orch"
"""The version of Kubernetes whose kubelet this agent behaves like; clients compare it with the server's."""
MEMORY_AVAILABLE_MIN_BYTES = 100 * 1024 * 1024
DISK_AVAILABLE_MIN = 0.05
INODES_AVAILABLE_MIN = 0.05
PIDS_AVAILABLE_MIN = 0.05
"""Less than these is pressure. Memory as kubelet's default; the others are shares of the whole."""


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


@dataclass(frozen=True, slots=True)
class Available:
    """What is left now: memory in bytes, the others as shares of the whole."""

    memory_bytes: int
    disk: float
    inodes: float
    pids: float


def read_available(state_dir: Path, memory_bytes: int) -> Available:
    disk = os.statvfs(state_dir)
    tasks = int(_text("/proc/loadavg").split()[3].partition("/")[2])
    return Available(
        memory_bytes=memory_bytes,
        disk=disk.f_bavail / max(disk.f_blocks, 1),
        inodes=disk.f_favail / disk.f_files if disk.f_files else 1.0,
        pids=1 - tasks / int(_text("/proc/sys/kernel/pid_max")),
    )


def node_object(
    name: str, address: str, machine: Machine, available: Available, *, not_ready: str, runtime: str
) -> Node:
    """`not_ready`: why the node takes no pods yet; empty: it does. `runtime`: name and version, as `crun://1.8.1`."""
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
            allocatable=dict(amounts),
            conditions=_conditions(not_ready, available),
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


def _conditions(not_ready: str, available: Available) -> tuple[NodeCondition, ...]:
    """In the words that kubelet uses, which tools look for."""
    low_memory = available.memory_bytes < MEMORY_AVAILABLE_MIN_BYTES
    low_disk = available.disk < DISK_AVAILABLE_MIN or available.inodes < INODES_AVAILABLE_MIN
    low_pids = available.pids < PIDS_AVAILABLE_MIN
    enough = ("has insufficient", "has sufficient")
    ready = NodeCondition(
        type="Ready",
        status="False" if not_ready else "True",
        reason="KubeletNotReady" if not_ready else "KubeletReady",
        message=not_ready or "kubelet is posting ready status",
    )
    return (
        _pressure("MemoryPressure", low_memory, ("InsufficientMemory", "SufficientMemory"), enough, "memory available"),
        _pressure("DiskPressure", low_disk, ("DiskPressure", "NoDiskPressure"), ("has", "has no"), "disk pressure"),
        _pressure("PIDPressure", low_pids, ("InsufficientPID", "SufficientPID"), enough, "PID available"),
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
