"""PodStatus and what it is made of (core/v1)."""

from typing import Annotated

from msgspec import field

from orch.api.base import ApiStruct, Int32, Int64, Quantity, Time, always, apply_list, merge_list
from orch.api.shared import ResourceRequirements


class ContainerExtendedResourceRequest(ApiStruct):
    container_name: str = always("")
    request_name: str = always("")
    resource_name: str = always("")


class ContainerStateRunning(ApiStruct):
    started_at: Time | None = None


class ContainerStateTerminated(ApiStruct):
    container_id: str | None = field(default=None, name="containerID")
    exit_code: Int32 = always(0)
    finished_at: Time | None = None
    message: str | None = None
    reason: str | None = None
    signal: Int32 | None = None
    started_at: Time | None = None


class ContainerStateWaiting(ApiStruct):
    message: str | None = None
    reason: str | None = None


class ContainerState(ApiStruct):
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class ResourceHealth(ApiStruct):
    health: str | None = None
    resource_id: str = always("", name="resourceID")


class ResourceStatus(ApiStruct):
    name: str = always("")
    resources: Annotated[tuple[ResourceHealth, ...] | None, apply_list("resourceID")] = None


class LinuxContainerUser(ApiStruct):
    gid: Int64 = always(0)
    supplemental_groups: tuple[Int64, ...] | None = None
    uid: Int64 = always(0)


class ContainerUser(ApiStruct):
    linux: LinuxContainerUser | None = None


class VolumeMountStatus(ApiStruct):
    mount_path: str = always("")
    name: str = always("")
    read_only: bool | None = None
    recursive_read_only: str | None = None


class ContainerStatus(ApiStruct):
    allocated_resources: dict[str, Quantity] | None = None
    allocated_resources_status: Annotated[tuple[ResourceStatus, ...] | None, apply_list("name")] = None
    container_id: str | None = field(default=None, name="containerID")
    image: str = always("")
    image_id: str = always("", name="imageID")
    last_state: ContainerState = always(ContainerState())
    name: str = always("")
    ready: bool = always(False)
    resources: ResourceRequirements | None = None
    restart_count: Int32 = always(0)
    started: bool | None = None
    state: ContainerState = always(ContainerState())
    stop_signal: str | None = None
    user: ContainerUser | None = None
    volume_mounts: Annotated[tuple[VolumeMountStatus, ...] | None, merge_list("mountPath")] = None


class HostIP(ApiStruct):
    ip: str = always("")


class PodCondition(ApiStruct):
    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    message: str | None = None
    observed_generation: Int64 | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class PodExtendedResourceClaimStatus(ApiStruct):
    request_mappings: tuple[ContainerExtendedResourceRequest, ...] = always(())
    resource_claim_name: str = always("")


class PodIP(ApiStruct):
    ip: str = always("")


class PodResourceClaimStatus(ApiStruct):
    name: str = always("")
    resource_claim_name: str | None = None


TERMINAL_PHASES = ("Succeeded", "Failed")


class PodStatus(ApiStruct):
    conditions: Annotated[tuple[PodCondition, ...] | None, merge_list("type")] = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    ephemeral_container_statuses: tuple[ContainerStatus, ...] | None = None
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    host_ip: str | None = field(default=None, name="hostIP")
    host_ips: Annotated[tuple[HostIP, ...] | None, merge_list("ip", is_atomic=True)] = field(
        default=None, name="hostIPs"
    )
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    message: str | None = None
    nominated_node_name: str | None = None
    observed_generation: Int64 | None = None
    phase: str | None = None
    pod_ip: str | None = field(default=None, name="podIP")
    pod_ips: Annotated[tuple[PodIP, ...] | None, merge_list("ip")] = field(default=None, name="podIPs")
    qos_class: str | None = None
    reason: str | None = None
    resize: str | None = None
    resource_claim_statuses: Annotated[
        tuple[PodResourceClaimStatus, ...] | None, merge_list("name", retain_keys=True)
    ] = None
    start_time: Time | None = None


def ready_condition(status: PodStatus) -> PodCondition | None:
    return next((condition for condition in status.conditions or () if condition.type == "Ready"), None)


def is_ready(status: PodStatus) -> bool:
    condition = ready_condition(status)
    return condition is not None and condition.status == "True"


def is_finished(status: PodStatus) -> bool:
    """No container of the pod runs or will run again."""
    return status.phase in TERMINAL_PHASES
