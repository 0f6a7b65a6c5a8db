"""What a container is, as the OCI runtime reads it: config.json (runtime-spec 1.0). Pure.

Everything comes in as an argument: the pod's and the container's configuration, the image's, the facts of the host.
Invariant: a field of ContainerConfig either shows here or is applied by the caller; none is dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.runtime import cgroups
from nodeagent.runtime.interface import (
    UNLIMITED,
    ContainerConfig,
    ImageConfig,
    Mount,
    Resources,
    RuntimeFault,
    SandboxConfig,
    Security,
)
from nodeagent.runtime.seccomp import BPF_ANNOTATION, Filter
from nodeagent.runtime.users import Identity

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/kpagecgroup",
    "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
"""What Kubernetes asks runtimes to hide, and the state of the machine's memory pages."""
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
OOM_SCORE_ADJ_MAX = 1000
PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}
"""core/v1 MountPropagationMode -> mount option."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device node of the host, for privileged containers."""

    path: str
    kind: str
    """`c` or `b`."""
    major: int
    minor: int
    mode: int


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the machine and the agent's own rights allow."""

    cgroup_v2: bool
    counts_swap: bool
    oom_score_adj_min: int
    """The agent's own: below it only CAP_SYS_RESOURCE may go."""
    open_files_max: int
    """RLIMIT_NOFILE of containers: as many as the agent may give."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Paths of the pod's namespaces; empty: the host's. `pid` empty: a new one, unless `host_pid`."""

    network: str = ""
    ipc: str = ""
    uts: str = ""
    pid: str = ""
    host_pid: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class IdMapping:
    """`base` on the host is 0 in the pod."""

    base: int
    size: int

    def spec(self) -> dict[str, list[dict[str, int]]]:
        mapping = [{"containerID": 0, "hostID": self.base, "size": self.size}]
        return {"uidMappings": mapping, "gidMappings": mapping}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the runtime put what the container needs."""

    root: str
    cgroup: str
    shm: str
    namespaces: Namespaces
    devices: tuple[Device, ...] = ()
    id_mapping: IdMapping | None = None
    """With a user namespace of the pod's own."""


def container_spec(
    sandbox: SandboxConfig,
    container: ContainerConfig,
    image: ImageConfig,
    identity: Identity,
    capabilities: Sequence[str],
    seccomp: Filter,
    placement: Placement,
    host: HostFacts,
) -> dict[str, Any]:
    """The content of config.json. Raises RuntimeFault when there is no command to run."""
    security = container.security
    linux: dict[str, Any] = {
        "cgroupsPath": f"/{placement.cgroup}",
        "namespaces": namespace_list(placement.namespaces, host.cgroup_v2),
        "resources": _resources(container.resources, security, host),
        "rootfsPropagation": _root_propagation(container.mounts),
    }
    if not (security.privileged or security.unmasked_proc):
        linux |= {"maskedPaths": list(MASKED_PATHS), "readonlyPaths": list(READONLY_PATHS)}
    if security.privileged:
        linux["devices"] = [_device(device) for device in placement.devices]
    if placement.id_mapping:
        linux |= placement.id_mapping.spec()
    if seccomp.profile is not None:
        linux["seccomp"] = seccomp.profile
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": process_spec(sandbox, container, image, identity, capabilities, host),
        "root": {"path": placement.root, "readonly": security.read_only_rootfs},
        "mounts": [*_base_mounts(security, placement.shm), *map(_bind, _outer_first(container.mounts))],
        "linux": linux,
    }
    if seccomp.bpf:
        spec["annotations"] = {BPF_ANNOTATION: seccomp.bpf}
    return spec


def process_spec(
    sandbox: SandboxConfig,
    container: ContainerConfig,
    image: ImageConfig,
    identity: Identity,
    capabilities: Sequence[str],
    host: HostFacts,
) -> dict[str, Any]:
    security = container.security
    process: dict[str, Any] = {
        "terminal": container.tty,
        "user": {
            "uid": identity.uid,
            "gid": identity.gid,
            "additionalGids": sorted({*identity.groups, *security.supplemental_groups}),
        },
        "args": list(arguments(container, image)),
        "env": environment(sandbox, container, image),
        "cwd": container.working_dir or image.working_dir or "/",
        # Nothing is inheritable or ambient: a set-uid or capable file would hand it on (CVE-2022-24769).
        "capabilities": {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")},
        "noNewPrivileges": security.no_new_privileges,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": host.open_files_max, "hard": host.open_files_max}],
    }
    if container.resources.oom_score_adj is not None:
        bounded = min(max(container.resources.oom_score_adj, host.oom_score_adj_min), OOM_SCORE_ADJ_MAX)
        process["oomScoreAdj"] = bounded
    return process


def exec_process(spec: Mapping[str, Any], command: Sequence[str], *, tty: bool) -> dict[str, Any]:
    """The process of an exec: as the container's own, with another command and terminal."""
    own: dict[str, Any] = spec["process"]
    env = own["env"] if not tty or any(e.startswith("TERM=") for e in own["env"]) else [*own["env"], "TERM=xterm"]
    return own | {"args": list(command), "terminal": tty, "env": env}


def arguments(container: ContainerConfig, image: ImageConfig) -> tuple[str, ...]:
    """As core/v1 Container: `command` replaces ENTRYPOINT and drops CMD; `args` replaces CMD."""
    if container.command:
        chosen = container.command + container.args
    else:
        chosen = image.entrypoint + (container.args or image.cmd)
    if not chosen:
        raise RuntimeFault(f"container {container.name}: no command: neither it nor its image says what to run")
    return chosen


def environment(sandbox: SandboxConfig, container: ContainerConfig, image: ImageConfig) -> list[str]:
    """The image's, then the container's; the last of a name wins. PATH and HOSTNAME are always there."""
    pairs = [DEFAULT_PATH, f"HOSTNAME={sandbox.hostname}", *(["TERM=xterm"] if container.tty else [])]
    pairs += [*image.env, *(f"{name}={value}" for name, value in container.env)]
    return list({pair.partition("=")[0]: pair for pair in pairs}.values())


def namespace_list(pod: Namespaces, cgroup_v2: bool) -> list[dict[str, str]]:
    namespaces = [{"type": "mount"}]
    shared = (
        ("user", pod.user),
        ("network", pod.network),
        ("ipc", pod.ipc),
        ("uts", pod.uts),
        ("pid", pod.pid),
    )
    namespaces += [{"type": kind, "path": path} for kind, path in shared if path]
    if not pod.pid and not pod.host_pid:
        namespaces.append({"type": "pid"})
    if cgroup_v2:
        namespaces.append({"type": "cgroup"})
    return namespaces


def _resources(resources: Resources, security: Security, host: HostFacts) -> dict[str, Any]:
    reservation = resources.memory_request_bytes if host.cgroup_v2 else cgroups.soft_limit(resources)
    memory = {"limit": resources.memory_limit_bytes, "reservation": reservation}
    if host.counts_swap:
        memory["swap"] = resources.memory_limit_bytes  # memory and swap together: no swap
    cpu = {"shares": resources.cpu_shares}
    if resources.cpu_quota_us is not None:
        cpu |= {"quota": resources.cpu_quota_us, "period": resources.cpu_period_us}
    groups = {"memory": memory, "cpu": cpu, "pids": {"limit": resources.pids_limit}}
    present = {
        name: {key: value for key, value in group.items() if value is not None} for name, group in groups.items()
    }
    unified = _unified(resources) if host.cgroup_v2 else {}
    return {"devices": _device_rules(security)} | {n: group for n, group in present.items() if group} | unified


def _unified(resources: Resources) -> dict[str, dict[str, str]]:
    """What the OCI runtime has no name of its own for, as files of cgroup v2."""
    wanted = {"memory.min": resources.memory_min_bytes, "memory.high": resources.memory_high_bytes}
    files = {file: "max" if value == UNLIMITED else str(value) for file, value in wanted.items() if value is not None}
    return {"unified": files} if files else {}


def _device_rules(security: Security) -> list[dict[str, Any]]:
    """The runtime itself lets /dev/null and its like through, and mknod of anything."""
    return [{"allow": security.privileged, "access": "rwm"}]


def _device(device: Device) -> dict[str, Any]:
    plain = {"path": device.path, "type": device.kind, "major": device.major, "minor": device.minor}
    return plain | {"fileMode": device.mode, "uid": 0, "gid": 0}


def _root_propagation(mounts: Sequence[Mount]) -> str:
    """A mount below a private root cannot receive or send."""
    modes = {mount.propagation for mount in mounts}
    return next((PROPAGATION[mode] for mode in ("Bidirectional", "HostToContainer") if mode in modes), "rprivate")


def _base_mounts(security: Security, shm: str) -> list[dict[str, Any]]:
    access = "rw" if security.privileged else "ro"
    safe = ["nosuid", "noexec", "nodev"]
    devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return [
        _mount("/proc", "proc", "proc", safe),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", "devpts", devpts),
        _mount("/dev/mqueue", "mqueue", "mqueue", safe),
        _mount("/sys", "sysfs", "sysfs", [*safe, access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*safe, "relatime", access]),
        _mount("/dev/shm", "bind", shm, ["rbind", "rw", *safe]),
    ]


def _outer_first(mounts: Sequence[Mount]) -> list[Mount]:
    """A mount below another's target must come after it."""
    return sorted(mounts, key=lambda mount: mount.container_path.rstrip("/").count("/"))


def _bind(mount: Mount) -> dict[str, Any]:
    options = ["rbind", "ro" if mount.read_only else "rw", PROPAGATION[mount.propagation]]
    return _mount(mount.container_path, "bind", mount.host_path, options)


def _mount(destination: str, kind: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
