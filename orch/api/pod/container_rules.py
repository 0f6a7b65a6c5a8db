"""Rules of one container: name, image, ports, environment, mounts, hooks (core validation, validateContainerCommon)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from orch.api.causes import Causes
from orch.api.formats import dns_label_problem, ip_problem, port_name_problem, port_problem
from orch.api.pod.container import Container, ContainerPort, EphemeralContainer, VolumeDevice, VolumeMount
from orch.api.pod.env_rules import env_from_rules, env_rules
from orch.api.pod.probe_rules import lifecycle_rules, probe_rules
from orch.api.pod.resource_rules import resource_rules
from orch.api.pod.security_rules import container_security_rules
from orch.api.pod.volume import Volume

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MOUNT_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE_READ_ONLY = ("Disabled", "Enabled", "IfPossible")

AnyContainer = Container | EphemeralContainer


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the rules of a container must know of its pod."""

    volumes: Mapping[str, Volume]
    host_network: bool
    host_users: bool
    grace_period_s: int


def container_rules(causes: Causes, path: str, container: AnyContainer, pod: PodFacts) -> None:
    """What holds for containers of all sorts; names are unique is checked over the whole pod."""
    _identity_rules(causes, path, container)
    _port_rules(causes, f"{path}.ports", container.ports or (), pod.host_network)
    env_rules(causes, f"{path}.env", container.env or ())
    env_from_rules(causes, f"{path}.envFrom", container.env_from or ())
    _mount_rules(causes, path, container, pod.volumes)
    _device_rules(causes, f"{path}.volumeDevices", container.volume_devices or (), pod.volumes)
    resource_rules(causes, f"{path}.resources", container.resources)
    container_security_rules(causes, f"{path}.securityContext", container.security_context, host_users=pod.host_users)


def run_rules(causes: Causes, path: str, container: Container, pod: PodFacts) -> None:
    """Probes and hooks, for containers that run as long as the pod does."""
    lifecycle_rules(causes, f"{path}.lifecycle", container.lifecycle, pod.grace_period_s)
    probe_rules(causes, f"{path}.livenessProbe", container.liveness_probe, success_must_be_one=True)
    probe_rules(causes, f"{path}.startupProbe", container.startup_probe, success_must_be_one=True)
    probe_rules(causes, f"{path}.readinessProbe", container.readiness_probe)
    readiness = container.readiness_probe
    if readiness is not None and readiness.termination_grace_period_seconds is not None:
        causes.invalid(
            f"{path}.readinessProbe.terminationGracePeriodSeconds",
            readiness.termination_grace_period_seconds,
            "must not be set for readinessProbes",
        )


def no_run_rules(causes: Causes, path: str, container: AnyContainer, reason: str) -> None:
    """Probes and hooks are refused where they could never act."""
    refused = (
        ("lifecycle", container.lifecycle),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    )
    for name, value in refused:
        if value is not None:
            causes.forbidden(f"{path}.{name}", reason)


def host_port_rules(causes: Causes, path: str, containers: Sequence[Container]) -> None:
    """Two containers of a pod can't have the same port of the node."""
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for port_index, port in enumerate(container.ports or ()):
            key = f"{port.protocol}/{port.host_ip or ''}/{port.host_port}"
            if port.host_port and key in taken:
                causes.duplicate(f"{path}[{index}].ports[{port_index}].hostPort", key)
            taken.add(key)


def _identity_rules(causes: Causes, path: str, container: AnyContainer) -> None:
    if not container.name:
        causes.required(f"{path}.name")
    else:
        causes.check(f"{path}.name", container.name, dns_label_problem(container.name))
    image = container.image or ""
    if not image:
        causes.required(f"{path}.image")
    elif image != image.strip():
        causes.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    causes.one_of(f"{path}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES)
    causes.one_of(
        f"{path}.terminationMessagePolicy",
        container.termination_message_policy,
        ("FallbackToLogsOnError", "File"),
    )
    for index, policy in enumerate(container.resize_policy or ()):
        causes.one_of(f"{path}.resizePolicy[{index}].resourceName", policy.resource_name, ("cpu", "memory"))
        causes.one_of(
            f"{path}.resizePolicy[{index}].restartPolicy", policy.restart_policy, ("NotRequired", "RestartContainer")
        )


def _port_rules(causes: Causes, path: str, ports: Sequence[ContainerPort], host_network: bool) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        if port.name:
            causes.check(f"{at}.name", port.name, port_name_problem(port.name))
            if port.name in names:
                causes.duplicate(f"{at}.name", port.name)
            names.add(port.name)
        _port_number_rules(causes, at, port, host_network)
        if port.host_ip:
            causes.check(f"{at}.hostIP", port.host_ip, ip_problem(port.host_ip))
        causes.one_of(f"{at}.protocol", port.protocol, PROTOCOLS)


def _port_number_rules(causes: Causes, path: str, port: ContainerPort, host_network: bool) -> None:
    if not port.container_port:
        causes.required(f"{path}.containerPort")
    elif problem := port_problem(port.container_port):
        causes.invalid(f"{path}.containerPort", port.container_port, problem)
    if port.host_port and (problem := port_problem(port.host_port)):
        causes.invalid(f"{path}.hostPort", port.host_port, problem)
    if host_network and port.host_port != port.container_port:
        causes.invalid(
            f"{path}.containerPort",
            port.container_port,
            "must match `hostPort` when `hostNetwork` is true",
        )


def _mount_rules(causes: Causes, path: str, container: AnyContainer, volumes: Collection[str]) -> None:
    paths: set[str] = set()
    privileged = bool(container.security_context and container.security_context.privileged)
    for index, mount in enumerate(container.volume_mounts or ()):
        at = f"{path}.volumeMounts[{index}]"
        if not mount.name:
            causes.required(f"{at}.name")
        elif mount.name not in volumes:
            causes.not_found(f"{at}.name", mount.name)
        if not mount.mount_path:
            causes.required(f"{at}.mountPath")
        elif mount.mount_path in paths:
            causes.invalid(f"{at}.mountPath", mount.mount_path, "must be unique")
        paths.add(mount.mount_path)
        _sub_path_rules(causes, at, mount)
        _mount_mode_rules(causes, at, mount, privileged)


def _sub_path_rules(causes: Causes, path: str, mount: VolumeMount) -> None:
    if mount.sub_path:
        relative_path_rules(causes, f"{path}.subPath", mount.sub_path)
    if mount.sub_path_expr:
        if mount.sub_path:
            causes.invalid(f"{path}.subPathExpr", mount.sub_path_expr, "subPathExpr and subPath are mutually exclusive")
        relative_path_rules(causes, f"{path}.subPathExpr", mount.sub_path_expr)


def _mount_mode_rules(causes: Causes, path: str, mount: VolumeMount, privileged: bool) -> None:
    causes.maybe_one_of(f"{path}.mountPropagation", mount.mount_propagation, MOUNT_PROPAGATIONS)
    if mount.mount_propagation == "Bidirectional" and not privileged:
        causes.forbidden(
            f"{path}.mountPropagation",
            "Bidirectional mount propagation is available only to privileged containers",
        )
    causes.maybe_one_of(f"{path}.recursiveReadOnly", mount.recursive_read_only, RECURSIVE_READ_ONLY)
    if mount.recursive_read_only in ("Enabled", "IfPossible") and not mount.read_only:
        causes.forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")


def _device_rules(causes: Causes, path: str, devices: Sequence[VolumeDevice], volumes: Mapping[str, Volume]) -> None:
    for index, device in enumerate(devices):
        at = f"{path}[{index}]"
        volume = volumes.get(device.name)
        if not device.name:
            causes.required(f"{at}.name")
        elif volume is None:
            causes.not_found(f"{at}.name", device.name)
        elif volume.persistent_volume_claim is None and volume.ephemeral is None:
            causes.invalid(
                f"{at}.name", device.name, "can only use volume source type of PersistentVolumeClaim or Ephemeral"
            )
        if not device.device_path:
            causes.required(f"{at}.devicePath")


def relative_path_rules(causes: Causes, path: str, value: str) -> None:
    """A path below a folder: not absolute, no way up."""
    if value.startswith("/"):
        causes.invalid(path, value, "must be a relative path")
    if ".." in value.split("/"):
        causes.invalid(path, value, "must not contain '..'")
