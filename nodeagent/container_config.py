"""From a pod's spec to what the runtime is told: sandbox and container configurations. Pure.

Whatever would have to be left out (a missing ConfigMap, a user that cannot be verified) is a ConfigError, so that a
container never runs as something else than was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.container_specs import container_specs
from nodeagent.container_state import Role
from nodeagent.environment import ConfigError, Downward, Inputs, expand, variables
from nodeagent.runtime.interface import (
    ContainerConfig,
    Image,
    Mount,
    PortMapping,
    Resources,
    SandboxConfig,
    Security,
)
from nodeagent.volumes.pod_files import kernel_hostname
from orch.api import quantity
from orch.api.base import Quantity
from orch.api.pod.container import Container
from orch.api.pod.security import PodSecurityContext, SecurityContext
from orch.api.pod.spec import Pod
from orch.api.shared import ResourceRequirements
from orch.api.unsupported import blocking_field

CPU_PERIOD_US = 100_000
CPU_QUOTA_MIN_US = 1_000
CPU_SHARES_MIN = 2
CPU_SHARES_PER_CPU = 1_024
CONTAINER_PIDS_MAX = 4_096
"""Kubernetes sets no limit unless told; here a fork bomb is bounded from the start."""
OOM_SCORE_GUARANTEED, OOM_SCORE_BEST_EFFORT = -997, 1_000
"""As kubelet's pkg/kubelet/qos/policy.go."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What pods are told of their node."""

    name: str
    address: str
    allocatable: Mapping[str, str]
    memory_bytes: int
    """The node's capacity, which OOM scores are relative to."""
    cluster_domain: str = "cluster.local"


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort, which the API server writes when the pod is created."""
    return pod.status.qos_class or "BestEffort"


def sandbox_config(pod: Pod, log_directory: str, node: NodeFacts) -> SandboxConfig:
    """Raises ConfigError."""
    spec = pod.spec
    quality = qos_class(pod)
    folder = "" if quality == "Guaranteed" else f"{quality.lower()}/"
    sysctls = (spec.security_context.sysctls if spec.security_context else None) or ()
    return SandboxConfig(
        pod_uid=pod.metadata.uid,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        hostname=kernel_hostname(pod, node.name, node.cluster_domain),
        cgroup_parent=f"kubepods/{folder}pod{pod.metadata.uid}",
        log_directory=log_directory,
        resources=_pod_resources(pod),
        host_network=bool(spec.host_network),
        host_pid=bool(spec.host_pid),
        host_ipc=bool(spec.host_ipc),
        share_process_namespace=bool(spec.share_process_namespace),
        sysctls={sysctl.name: sysctl.value for sysctl in sysctls},
        host_users=spec.host_users is not False,
        port_mappings=() if spec.host_network else _port_mappings(pod),
    )


def _port_mappings(pod: Pod) -> tuple[PortMapping, ...]:
    """With the host's network a port of the container is one of the node already."""
    lasting = (container for container, role in container_specs(pod) if role in (Role.MAIN, Role.SIDECAR))
    ports = (port for container in lasting for port in container.ports or ())
    return tuple(
        PortMapping(port.protocol or "TCP", port.host_port, port.container_port, port.host_ip or "")
        for port in ports
        if port.host_port
    )


def _pod_resources(pod: Pod) -> Resources:
    """The pod's cgroup: the sum of its containers, limited only where every one of them is."""
    all_limits = [c.resources.limits or {} for c in pod.spec.containers]
    requests = [_request(c.resources, "cpu") for c in pod.spec.containers]
    limited = {name: all(name in limits for limits in all_limits) for name in ("cpu", "memory")}
    cpu_milli = sum(quantity.milli(limits["cpu"]) for limits in all_limits) if limited["cpu"] else None
    memory = sum(quantity.value(limits["memory"]) for limits in all_limits) if limited["memory"] else None
    if pod.spec.init_containers:
        cpu_milli = memory = None  # an init container may have more than all others together
    return Resources(
        cpu_shares=_shares(sum(quantity.milli(request) for request in requests)),
        cpu_quota_us=_quota_us(cpu_milli) if cpu_milli else None,
        memory_limit_bytes=memory,
    )


def container_config(
    pod: Pod,
    container: Container,
    *,
    attempt: int,
    image: Image,
    inputs: Inputs,
    node: NodeFacts,
    pod_ip: str,
    mounts: tuple[Mount, ...],
    pid_target: str = "",
) -> ContainerConfig:
    """Raises ConfigError, also for a field that would have to be ignored."""
    blocked = blocking_field(pod)
    if blocked is not None:
        raise ConfigError(f"{blocked} is set, which is not supported: the container would not be what was asked for")
    downward = Downward(node.name, node.address, pod_ip, node.allocatable)
    env = variables(pod, container, inputs, downward)
    known = _image_variables(image) | env
    return ContainerConfig(
        pod_uid=pod.metadata.uid,
        name=container.name,
        attempt=attempt,
        image_id=image.id,
        command=tuple(expand(word, known) for word in container.command or ()),
        args=tuple(expand(word, known) for word in container.args or ()),
        env=tuple(env.items()),
        working_dir=container.working_dir or "",
        mounts=mounts,
        resources=container_resources(pod, container, node),
        security=security(pod, container, image),
        log_path=f"{container.name}/{attempt}.log",
        tty=bool(container.tty),
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdin_once),
        stop_signal=(container.lifecycle.stop_signal if container.lifecycle else None) or "",
        pid_target=pid_target,
    )


def _image_variables(image: Image) -> dict[str, str]:
    return dict(variable.partition("=")[::2] for variable in image.config.env)


def container_resources(pod: Pod, container: Container, node: NodeFacts) -> Resources:
    limits = container.resources.limits or {}
    memory_request = quantity.value(_request(container.resources, "memory"))
    return Resources(
        cpu_shares=_shares(quantity.milli(_request(container.resources, "cpu"))),
        cpu_quota_us=_quota_us(quantity.milli(limits["cpu"])) if "cpu" in limits else None,
        cpu_period_us=CPU_PERIOD_US,
        memory_limit_bytes=quantity.value(limits["memory"]) if "memory" in limits else None,
        memory_request_bytes=memory_request or None,
        pids_limit=CONTAINER_PIDS_MAX,
        oom_score_adj=_oom_score(qos_class(pod), memory_request, node.memory_bytes),
    )


def _request(resources: ResourceRequirements, name: str) -> Quantity:
    """What is requested; a limit without a request requests itself."""
    return (resources.requests or {}).get(name, (resources.limits or {}).get(name, 0))


def _shares(cpu_milli: int) -> int:
    return max(cpu_milli * CPU_SHARES_PER_CPU // 1000, CPU_SHARES_MIN)


def _quota_us(cpu_milli: int) -> int:
    return max(cpu_milli * CPU_PERIOD_US // 1000, CPU_QUOTA_MIN_US)


def _oom_score(quality: str, memory_request_bytes: int, capacity_bytes: int) -> int:
    if quality == "Guaranteed":
        return OOM_SCORE_GUARANTEED
    if quality == "BestEffort":
        return OOM_SCORE_BEST_EFFORT
    score = 1000 - 1000 * memory_request_bytes // max(capacity_bytes, 1)
    return min(max(score, 1000 + OOM_SCORE_GUARANTEED), OOM_SCORE_BEST_EFFORT - 1)


def security(pod: Pod, container: Container, image: Image) -> Security:
    """The container's security context over the pod's over the image. Raises ConfigError for runAsNonRoot."""
    whole = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or SecurityContext()
    uid, gid, username = _identity(own, whole, image.config.user)
    if _first(own.run_as_non_root, whole.run_as_non_root):
        _check_non_root(uid, username)
    groups = (*(whole.supplemental_groups or ()), *((whole.fs_group,) if whole.fs_group is not None else ()))
    capabilities = own.capabilities
    return Security(
        uid=uid,
        gid=gid,
        username=username,
        supplemental_groups=groups,
        privileged=bool(own.privileged),
        read_only_rootfs=bool(own.read_only_root_filesystem),
        no_new_privileges=own.allow_privilege_escalation is False,
        add_capabilities=(capabilities.add or ()) if capabilities else (),
        drop_capabilities=(capabilities.drop or ()) if capabilities else (),
        seccomp=_seccomp(own, whole),
        unmasked_proc=own.proc_mount == "Unmasked",
    )


def _identity(own: SecurityContext, whole: PodSecurityContext, image_user: str) -> tuple[int, int, str]:
    """(uid, gid, the image's user, to be looked up in its /etc/passwd when the pod names none)."""
    uid, gid = _first(own.run_as_user, whole.run_as_user), _first(own.run_as_group, whole.run_as_group)
    user = image_user.partition(":")[0]
    if uid is None and user and gid is None:
        return int(user) if user.isdecimal() else 0, 0, image_user
    if uid is None and user:
        return int(user) if user.isdecimal() else 0, gid or 0, f"{user}:{gid}"
    return uid or 0, gid or 0, ""


def _check_non_root(uid: int, username: str) -> None:
    user = username.partition(":")[0]
    if user and not user.isdecimal():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        )
    if uid == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _seccomp(own: SecurityContext, whole: PodSecurityContext) -> str:
    profile = own.seccomp_profile or whole.seccomp_profile
    if own.privileged:
        return "Unconfined"
    if profile is None:
        return "RuntimeDefault"
    return f"Localhost:{profile.localhost_profile}" if profile.type == "Localhost" else profile.type
