"""From a pod's spec to what the runtime is told: sandbox and container configurations. Pure.

Whatever would have to be left out (a missing ConfigMap, a user that cannot be verified) is a ConfigError, so that a
container never runs as something else than was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.container_specs import container_specs
from nodeagent.container_state import Role
from nodeagent.environment import ConfigError, Downward, Inputs, expand, variables
from nodeagent.pod_admission import dotted
from nodeagent.resources import container_resources, pod_resources, qos_class
from nodeagent.runtime.interface import (
    ContainerConfig,
    Image,
    Mount,
    PortMapping,
    SandboxConfig,
    Security,
)
from nodeagent.volumes.pod_files import kernel_hostname
from orch.api.pod.container import Container
from orch.api.pod.pod_level import pod_level_limits
from orch.api.pod.security import PodSecurityContext, SecurityContext
from orch.api.pod.spec import Pod
from orch.api.unsupported import blocking_field


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What pods are told of their node."""

    name: str
    address: str
    allocatable: Mapping[str, str]
    memory_bytes: int
    """The node's capacity, which OOM scores are relative to."""
    cluster_domain: str = "cluster.local"
    pod_pids_max: int | None = None
    """How many processes a pod may have; None: what is usual here."""
    memory_qos: bool = False
    """Whether requests are promised (memory.min) and use beyond them is slowed down (memory.high)."""


def sandbox_config(pod: Pod, log_directory: str, node: NodeFacts, runtime_handler: str = "") -> SandboxConfig:
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
        resources=pod_resources(pod, node),
        host_network=bool(spec.host_network),
        host_pid=bool(spec.host_pid),
        host_ipc=bool(spec.host_ipc),
        share_process_namespace=bool(spec.share_process_namespace),
        sysctls={dotted(sysctl.name): sysctl.value for sysctl in sysctls},
        host_users=spec.host_users is not False,
        runtime_handler=runtime_handler,
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
    limits = {**pod_level_limits(pod.spec), **(container.resources.limits or {})}
    hugepages = [name for name in limits if name.startswith("hugepages-")]
    if hugepages:
        raise ConfigError(f"{hugepages[0]} is asked for: this node has no huge pages to give")
    downward = Downward(node.name, node.address, pod_ip, node.allocatable)
    env = variables(pod, container, inputs, downward)
    known = _image_variables(image) | env
    return ContainerConfig(
        pod_uid=pod.metadata.uid,
        name=container.name,
        attempt=attempt,
        image_id=image.id,
        image=container.image or "",
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


def security(pod: Pod, container: Container, image: Image) -> Security:
    """The container's security context over the pod's over the image. Raises ConfigError for runAsNonRoot."""
    whole = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or SecurityContext()
    username = _user(own, whole, image.config.user)
    if _first(own.run_as_non_root, whole.run_as_non_root):
        _check_non_root(_first(own.run_as_user, whole.run_as_user), username, _where(pod, container))
    groups = (*(whole.supplemental_groups or ()), *((whole.fs_group,) if whole.fs_group is not None else ()))
    capabilities = own.capabilities
    return Security(
        username=username,
        supplemental_groups=groups,
        strict_groups=whole.supplemental_groups_policy == "Strict",
        privileged=bool(own.privileged),
        read_only_rootfs=bool(own.read_only_root_filesystem),
        no_new_privileges=own.allow_privilege_escalation is False,
        add_capabilities=(capabilities.add or ()) if capabilities else (),
        drop_capabilities=(capabilities.drop or ()) if capabilities else (),
        seccomp=_seccomp(own, whole),
        unmasked_proc=own.proc_mount == "Unmasked",
    )


def _where(pod: Pod, container: Container) -> str:
    meta = pod.metadata
    return f'pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {container.name}'


def _user(own: SecurityContext, whole: PodSecurityContext, image_user: str) -> str:
    """`user` or `user:group`. A user of the pod's own has the group that the image gives to it."""
    uid, gid = _first(own.run_as_user, whole.run_as_user), _first(own.run_as_group, whole.run_as_group)
    image_name, _, image_group = image_user.partition(":")
    user, group = (str(uid), "") if uid is not None else (image_name or "0", image_group)
    group = group if gid is None else str(gid)
    return f"{user}:{group}" if group else user


def _check_non_root(run_as_user: int | None, username: str, where: str) -> None:
    """In the words of kubelet's verifyRunAsNonRoot."""
    user = username.partition(":")[0]
    if run_as_user == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy ({where})")
    if not user.isdecimal():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({user}), "
            f"cannot verify user is non-root ({where})"
        )
    if int(user) == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root ({where})")


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _seccomp(own: SecurityContext, whole: PodSecurityContext) -> str:
    profile = own.seccomp_profile or whole.seccomp_profile
    if own.privileged:
        return "Unconfined"
    if profile is None:
        return "RuntimeDefault"
    return f"Localhost:{profile.localhost_profile}" if profile.type == "Localhost" else profile.type
