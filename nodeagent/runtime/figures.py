"""The figures of the runtime: what containers, pods and the node have used so far and hold now (CRI stats messages)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pressure:
    """Pressure stall information since the cgroup was made, in microseconds: time in which some, or all, waited."""

    some_us: int
    full_us: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cgroup and all below it have used so far, and hold now."""

    cpu_ns: int = 0
    cpu_periods: int = 0
    """Periods of the CPU quota in which it ran; without a quota none are counted."""
    cpu_throttled_periods: int = 0
    cpu_throttled_us: int = 0
    memory_bytes: int = 0
    memory_working_set_bytes: int = 0
    """Without the page cache that the kernel can take back at once (inactive file pages)."""
    memory_rss_bytes: int = 0
    """Anonymous memory."""
    page_faults: int = 0
    major_page_faults: int = 0
    processes: int = 0
    """Processes and threads."""
    pressure: Mapping[str, Pressure] = field(default_factory=dict)
    """By `cpu`, `memory`, `io`; empty where the kernel does not count it (cgroup v1)."""


@dataclass(frozen=True, slots=True)
class NetworkUsage:
    """Counters of the pod's interfaces, loopback apart."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """As CRI's ContainerStats. Compare counters by `sampled_at`; an attempt starts at zero."""

    container_id: str
    pod_uid: str
    name: str
    attempt: int
    sampled_at: datetime
    usage: Usage


@dataclass(frozen=True, slots=True)
class PodStats:
    """As CRI's PodSandboxStats: the pod's own cgroup, so containers that are gone and memory volumes included."""

    pod_uid: str
    namespace: str
    name: str
    sampled_at: datetime
    usage: Usage
    network: NetworkUsage | None
    """None with the host's network."""


@dataclass(frozen=True, slots=True)
class DiskUsage:
    used_bytes: int = 0
    """Blocks on disk, not lengths of files."""
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class ContainerStorage:
    """What a container holds of its pod's ephemeral storage, volumes apart."""

    container_id: str
    pod_uid: str
    name: str
    attempt: int
    writable_layer: DiskUsage
    logs: DiskUsage
    """The folder that it shares with its other attempts: count it once per name."""
