"""The container runtime as the agent sees it: the verbs of CRI (runtime/v1), nothing below them.

Pods are keyed by uid. A sandbox is what the containers of a pod share (network, IPC and UTS namespaces, /dev/shm,
cgroup, address). No caller sees a pid or a namespace path, so that a VM handler fits behind the same verbs. Every verb
is idempotent: called again after a crash in the middle, it completes the step or finds it done. One contract suite
(tests/contract) runs against the fake and against crun.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from nodeagent.runtime.figures import ContainerStats, ContainerStorage, PodStats, Usage
from orch.errors import OrchError


class RuntimeFault(OrchError):
    """A verb failed. The message says what was tried, on what, and what the runtime answered."""


class NoSuchContainer(RuntimeFault):
    """The container or sandbox does not exist (any more)."""


class MemoryInUse(RuntimeFault):
    """A memory limit was to be set below what is in use; nothing of the change was made. It may be tried again."""


class CommandNotStarted(RuntimeFault):
    """The runtime could not start the command of an exec: not found in the container, or not executable."""

    def __init__(self, message: str, exit_code: int) -> None:
        """`exit_code` as a shell would give it: 127 not found, 126 not executable."""
        super().__init__(message)
        self.exit_code = exit_code


class PortRefused(RuntimeFault):
    """Nothing in the pod takes a connection on the port."""


UNLIMITED = -1
"""As a quota or a limit: there is none."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of a cgroup. None: no limit, or the kernel's default. Both cgroup versions get the same effect."""

    cpu_shares: int | None = None
    """v1 cpu.shares; turned into cpu.weight on v2."""
    cpu_quota_us: int | None = None
    cpu_period_us: int = 100_000
    memory_limit_bytes: int | None = None
    memory_request_bytes: int | None = None
    """Kept from being taken away while others have some to spare: v1 soft limit, v2 memory.low."""
    memory_min_bytes: int | None = None
    """v2 memory.min: never taken away. v1 has no such promise; there it makes the soft limit at least as high."""
    memory_high_bytes: int | None = None
    """v2 memory.high: above it the kernel slows the container down and takes memory back. v1 knows no such thing."""
    pids_limit: int | None = None
    oom_score_adj: int | None = None
    """Clamped to what the agent may set."""

    def updated(self, changes: "Resources") -> "Resources":
        """With the limits that `changes` sets; its None leave what is there."""
        given = {name: value for name in self.__slots__ if (value := getattr(changes, name)) is not None}
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the node that leads to one of the pod, as CRI's PortMapping."""

    protocol: str
    """TCP, UDP or SCTP."""
    host_port: int
    container_port: int
    host_ip: str = ""
    """Which address of the node; empty: every one but loopback."""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    pod_uid: str
    namespace: str
    name: str
    hostname: str
    cgroup_parent: str
    """Path of the pod's cgroup below the node's, such as `kubepods/burstable/pod<uid>`."""
    log_directory: str
    resources: Resources = Resources()
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    port_mappings: tuple[PortMapping, ...] = ()
    host_users: bool = True
    """False: a user namespace of the pod's own, with 65,536 ids that no other pod on the node has."""
    runtime_handler: str = ""
    """A RuntimeClass' handler, under which the pod's containers run; empty: the node's default."""


class SandboxState(StrEnum):
    READY = "Ready"
    NOT_READY = "NotReady"


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    pod_uid: str
    namespace: str
    name: str
    state: SandboxState
    created_at: datetime
    ip: str
    """Empty with host networking and when the sandbox is not ready."""


@dataclass(frozen=True, slots=True)
class Mount:
    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = "None"
    """None, HostToContainer or Bidirectional, as in core/v1 VolumeMount."""


@dataclass(frozen=True, slots=True)
class Security:
    """What remains of pod and container security contexts once both are resolved."""

    uid: int = 0
    gid: int = 0
    username: str = ""
    """`user` or `user:group`, by names or numbers, resolved in the image's /etc/passwd and /etc/group; empty: `uid` and
    `gid` as they are."""
    supplemental_groups: tuple[int, ...] = ()
    strict_groups: bool = False
    """Only `supplemental_groups`; else also those that the image's /etc/group puts the user into."""
    privileged: bool = False
    read_only_rootfs: bool = False
    no_new_privileges: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = "RuntimeDefault"
    """RuntimeDefault, Unconfined, or `Localhost:<path>`, relative to the node's folder of profiles."""
    unmasked_proc: bool = False


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    pod_uid: str
    name: str
    attempt: int
    """0 for the first start; each restart counts up. (pod_uid, name, attempt) names a container once and for all."""
    image_id: str
    """Digest of an image in the node's store, as the image service's `pull` returned it."""
    image: str = ""
    """What the pod's spec calls it."""
    command: tuple[str, ...] = ()
    """Replaces the image's ENTRYPOINT; empty: the image's."""
    args: tuple[str, ...] = ()
    """Replaces the image's CMD; empty: the image's unless `command` is set."""
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    security: Security = Security()
    log_path: str = ""
    """Below the sandbox's log_directory; CRI log format."""
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    """The container's stdin ends when the first to attach with stdin leaves."""
    stop_signal: str = ""
    """By name, such as SIGUSR1; empty: the image's, else SIGTERM."""
    pid_target: str = ""
    """Id of a running container of the pod whose PID namespace this one joins; empty: the pod's way."""


class ContainerState(StrEnum):
    CREATED = "Created"
    RUNNING = "Running"
    EXITED = "Exited"
    UNKNOWN = "Unknown"
    """It is gone and nobody saw how (its monitor died)."""


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    id: str
    pod_uid: str
    name: str
    attempt: int
    image_id: str
    state: ContainerState
    created_at: datetime
    started_at: datetime | None = None
    started_s: float | None = None
    """The same moment on the monotonic clock, which is never set and counts from the machine's boot."""
    finished_at: datetime | None = None
    exit_code: int = 0
    oom_killed: bool = False
    """The kernel killed a process of it for memory (cgroup counters; exit code 137 alone says nothing)."""
    log_path: str = ""
    resources: Resources = Resources()
    """What its cgroup was last set to."""
    image: str = ""
    """As the config it was made from says."""


@dataclass(frozen=True, slots=True)
class ContainerExited:
    """Pushed when a container's process ends, however it ended."""

    pod_uid: str
    container_id: str


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    output: bytes
    """stdout and stderr as they came, at most 16 KiB."""


class ExecSession(Protocol):
    """A process in a container with its streams attached. Leaving the context of an exec kills its command if it still
    runs; leaving that of an attach leaves the container alone."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1, data) for stdout and (2, data) for stderr until both are closed."""

    async def wait(self) -> int:
        """The exit code. Raises CommandNotStarted, RuntimeFault."""


class PortConnection(Protocol):
    """A TCP connection to a port of a pod. Leaving its context resets what is still open."""

    async def read(self) -> bytes:
        """What came; empty once the pod has ended its direction. Raises RuntimeFault when it reset the connection."""

    async def write(self, data: bytes) -> None:
        """Waits while the pod does not read. Raises RuntimeFault when it reset the connection."""

    async def close_write(self) -> None:
        """Nothing more will be written; what comes can still be read."""


class Runtime(Protocol):
    """CRI's RuntimeService. Times out by itself where the runtime below may hang; raises RuntimeFault."""

    async def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus: ...

    async def stop_pod_sandbox(self, pod_uid: str) -> None:
        """Kills what still runs in it and gives its address back. No error when it is already gone."""

    async def remove_pod_sandbox(self, pod_uid: str) -> None:
        """Removes every trace: namespaces, mounts, cgroups, files. No error when there is none."""

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]: ...

    async def create_container(self, config: ContainerConfig) -> str:
        """The container's id."""

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        """Stop signal, then SIGKILL after `grace_s`. Returns when the process is gone."""

    async def remove_container(self, container_id: str) -> None:
        """Its logs stay until the sandbox is removed."""

    async def list_containers(self) -> Sequence[ContainerStatus]: ...

    async def container_status(self, container_id: str) -> ContainerStatus: ...

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        """In the live cgroup; the process goes on. Limits that are None stay as they are, UNLIMITED takes one away.
        Raises MemoryInUse, NoSuchContainer."""

    async def update_pod_resources(self, pod_uid: str, resources: Resources) -> None:
        """The pod's own cgroup, as above. Grow a pod before its containers, shrink it after them."""

    async def container_stats(self) -> Sequence[ContainerStats]:
        """Of the containers that run."""

    async def pod_stats(self) -> Sequence[PodStats]:
        """Of the pods whose sandbox is ready."""

    async def node_usage(self) -> Usage:
        """The node's cgroup: all of its pods together."""

    async def container_storage(self) -> Sequence[ContainerStorage]:
        """Of all containers. Counts files: seconds where there are very many; at most one count runs at a time."""

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        """Raises TimeoutError; the command is then killed."""

    def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> AbstractAsyncContextManager[ExecSession]: ...

    def attach(self, container_id: str, *, stdin: bool) -> AbstractAsyncContextManager[ExecSession]:
        """The container's own streams: its output from now on, and with `stdin` its input, if its config gives it one.
        Whether there is a terminal is its config's to say too. Several may be attached; one that takes no output for
        seconds is cut off. `wait` returns when the container ends. Raises RuntimeFault when it does not run."""

    def port_forward(self, pod_uid: str, port: int) -> AbstractAsyncContextManager[PortConnection]:
        """A connection to the port on the pod's loopback: 127.0.0.1, else ::1. Raises PortRefused, NoSuchContainer."""

    def exits(self) -> AsyncIterator[ContainerExited]:
        """Exits from now on, in order. One consumer. What ended before is in `list_containers`."""


class PodNetwork(Protocol):
    """What the runtime asks of the node's network when a sandbox comes and goes (the part of CNI)."""

    async def attach(self, pod_uid: str, netns_path: str, ports: Sequence[PortMapping]) -> str:
        """Interface, address and routes in the namespace, and the way from the node's `ports`; the pod's address. The
        same address when called again."""

    async def detach(self, pod_uid: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an OCI image config says about running it."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the node's store."""

    id: str
    """Digest of the config: sha256:..."""
    names: tuple[str, ...]
    """Canonical references: docker.io/library/x:tag, docker.io/library/x@sha256:..."""
    digest: str
    """Digest of the manifest."""
    size_bytes: int
    config: ImageConfig
    layer_paths: tuple[str, ...]
    """Unpacked read-only layers, top first, as overlayfs wants its lowerdir."""


class PullFailed(OrchError):
    """The message says which image, from where, and what failed: no route, 401, 404, digest mismatch."""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    username: str
    password: str


class ImageService(Protocol):
    """CRI's ImageService."""

    async def find(self, reference: str) -> Image | None:
        """The image that the node already has under this reference or id."""

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Single flight: however many ask for one reference at once, it is fetched once. Raises PullFailed."""

    async def list(self) -> Sequence[Image]: ...

    async def remove(self, reference: str) -> None: ...

    def holding(self, image_id: str) -> AbstractContextManager[None]:
        """While inside, the image stays: a container is being made from it."""
