"""Containers of a pod: probes, lifecycle hooks, environment, ports, mounts (core/v1)."""

from typing import Annotated, ClassVar

from msgspec import field

from orch.api.base import ApiStruct, Int32, Int64, IntOrString, Quantity, always, merge_list
from orch.api.pod.security import SecurityContext
from orch.api.shared import ResourceRequirements


class ConfigMapEnvSource(ApiStruct):
    name: str | None = None
    optional: bool | None = None


class ConfigMapKeySelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    key: str = always("")
    name: str | None = None
    optional: bool | None = None


class ObjectFieldSelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    api_version: str | None = None
    field_path: str = always("")


class FileKeySelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    key: str = always("")
    optional: bool | None = None
    path: str = always("")
    volume_name: str = always("")


class ResourceFieldSelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    container_name: str | None = None
    divisor: Quantity | None = None
    resource: str = always("")


class SecretKeySelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    key: str = always("")
    name: str | None = None
    optional: bool | None = None


class EnvVarSource(ApiStruct):
    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(ApiStruct):
    name: str = always("")
    value: str | None = None
    value_from: EnvVarSource | None = None


class SecretEnvSource(ApiStruct):
    name: str | None = None
    optional: bool | None = None


class EnvFromSource(ApiStruct):
    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str | None = None
    secret_ref: SecretEnvSource | None = None


class ExecAction(ApiStruct):
    command: tuple[str, ...] | None = None


class HTTPHeader(ApiStruct):
    name: str = always("")
    value: str = always("")


class HTTPGetAction(ApiStruct):
    host: str | None = None
    http_headers: tuple[HTTPHeader, ...] | None = None
    path: str | None = None
    port: IntOrString = always(0)
    scheme: str | None = None


class SleepAction(ApiStruct):
    seconds: Int64 = always(0)


class TCPSocketAction(ApiStruct):
    host: str | None = None
    port: IntOrString = always(0)


class LifecycleHandler(ApiStruct):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


class Lifecycle(ApiStruct):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class GRPCAction(ApiStruct):
    port: Int32 = always(0)
    service: str | None = None


class Probe(ApiStruct):
    exec: ExecAction | None = None
    failure_threshold: Int32 | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: Int32 | None = None
    period_seconds: Int32 | None = None
    success_threshold: Int32 | None = None
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: Int64 | None = None
    timeout_seconds: Int32 | None = None


class ContainerPort(ApiStruct):
    container_port: Int32 = always(0)
    host_ip: str | None = field(default=None, name="hostIP")
    host_port: Int32 | None = None
    name: str | None = None
    protocol: str | None = None


class ContainerResizePolicy(ApiStruct):
    resource_name: str = always("")
    restart_policy: str = always("")


class ContainerRestartRuleOnExitCodes(ApiStruct):
    operator: str = always("")
    values: tuple[Int32, ...] | None = None


class ContainerRestartRule(ApiStruct):
    action: str = always("")
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class VolumeDevice(ApiStruct):
    device_path: str = always("")
    name: str = always("")


class VolumeMount(ApiStruct):
    mount_path: str = always("")
    mount_propagation: str | None = None
    name: str = always("")
    read_only: bool | None = None
    recursive_read_only: str | None = None
    sub_path: str | None = None
    sub_path_expr: str | None = None


class Container(ApiStruct):
    args: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: Annotated[tuple[EnvVar, ...] | None, merge_list("name")] = None
    env_from: tuple[EnvFromSource, ...] | None = None
    image: str | None = None
    image_pull_policy: str | None = None
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = always("")
    ports: Annotated[
        tuple[ContainerPort, ...] | None,
        merge_list("containerPort", keys=("containerPort", "protocol"), key_defaults=(("protocol", "TCP"),)),
    ] = None
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] | None = None
    resources: ResourceRequirements = always(ResourceRequirements())
    restart_policy: str | None = None
    restart_policy_rules: tuple[ContainerRestartRule, ...] | None = None
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    tty: bool | None = None
    volume_devices: Annotated[tuple[VolumeDevice, ...] | None, merge_list("devicePath")] = None
    volume_mounts: Annotated[tuple[VolumeMount, ...] | None, merge_list("mountPath")] = None
    working_dir: str | None = None


class EphemeralContainer(ApiStruct):
    args: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: Annotated[tuple[EnvVar, ...] | None, merge_list("name")] = None
    env_from: tuple[EnvFromSource, ...] | None = None
    image: str | None = None
    image_pull_policy: str | None = None
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = always("")
    ports: Annotated[
        tuple[ContainerPort, ...] | None,
        merge_list("containerPort", keys=("containerPort", "protocol"), key_defaults=(("protocol", "TCP"),)),
    ] = None
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] | None = None
    resources: ResourceRequirements = always(ResourceRequirements())
    restart_policy: str | None = None
    restart_policy_rules: tuple[ContainerRestartRule, ...] | None = None
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    target_container_name: str | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    tty: bool | None = None
    volume_devices: Annotated[tuple[VolumeDevice, ...] | None, merge_list("devicePath")] = None
    volume_mounts: Annotated[tuple[VolumeMount, ...] | None, merge_list("mountPath")] = None
    working_dir: str | None = None
